"""GET /users/me."""

from __future__ import annotations

import pytest

from tests.stacks.problems import TOKEN_MISSING, TOKEN_NOT_VALID, refused
from tests.stacks.stack import Stack
from tests.stacks.steps import bearer, log_in, register, temporary_token

PATH = "/api/v1/users/me"


@pytest.mark.parametrize("is_2fa", [False, True], ids=["without 2FA", "with 2FA"])
async def test_the_callers_own_account(stack: Stack, is_2fa: bool) -> None:
    person = await register(stack, is_2fa=is_2fa)
    tokens = await log_in(stack, person)

    answer = await stack.http.get(PATH, headers=bearer(tokens.access))

    assert answer.status_code == 200
    account = answer.json()
    assert account.keys() == {
        "id", "email", "username", "name", "lastname", "full_name", "is_2fa", "second_factors", "is_admin",
        "is_active", "email_verified_at", "pending_email", "groups", "created_at", "modified_at",
    }  # fmt: skip
    assert (account["id"], account["email"], account["is_2fa"]) == (person.id, person.email, is_2fa)
    assert account["second_factors"] == (["email"] if is_2fa else [])
    assert answer.headers["etag"]


async def test_no_other_kind_of_token_is_taken(stack: Stack) -> None:
    tokens = await log_in(stack, await register(stack))
    temporary = await temporary_token(stack, await register(stack, is_2fa=True))

    for token in (tokens.refresh, temporary, "no.token.atall", f"{tokens.access}="):
        refused(await stack.http.get(PATH, headers=bearer(token)), *TOKEN_NOT_VALID)
    refused(await stack.http.get(PATH), *TOKEN_MISSING)


async def test_the_account_of_a_deleted_person_is_gone_at_once(stack: Stack) -> None:
    tokens = await log_in(stack, await register(stack))
    assert (await stack.http.delete("/api/v1/users/", headers=bearer(tokens.access))).status_code == 200

    refused(await stack.http.get(PATH, headers=bearer(tokens.access)), *TOKEN_NOT_VALID)


async def test_a_change_is_seen_at_once(stack: Stack) -> None:
    tokens = await log_in(stack, await register(stack))

    changed = await stack.http.patch("/api/v1/users/", json={"name": "Martin"}, headers=bearer(tokens.access))

    answer = await stack.http.get(PATH, headers=bearer(tokens.access))
    assert answer.json() == changed.json()
    assert answer.json()["full_name"] == "Martin Gahan"
    assert answer.headers["etag"] == changed.headers["etag"]
