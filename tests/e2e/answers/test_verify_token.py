"""POST /auth/verify-token: is this access token good at this moment?"""

from __future__ import annotations

import httpx
import pytest

from tests.polling import eventually
from tests.stacks.problems import TOKEN_MISSING, TOKEN_NOT_VALID, invalid, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import admin, bearer, log_in, register, temporary_token, verify_token

PATH = "/api/v1/auth/verify-token"


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack)


async def test_a_good_access_token(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    answer = await stack.http.post(PATH, headers=bearer(tokens.access))

    assert (answer.status_code, answer.json()) == (200, {"message": True})
    assert answer.headers["cache-control"] == "no-store"


async def test_no_other_kind_of_token_is_taken(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    temporary = await temporary_token(stack, await register(stack, is_2fa=True))

    for token in (tokens.refresh, temporary):
        refused(await stack.http.post(PATH, headers=bearer(token)), *TOKEN_NOT_VALID)


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_a_changed_token_is_refused(stack: Stack, person: Person, part: int) -> None:
    parts = (await log_in(stack, person)).access.split(".")
    middle = len(parts[part]) // 2
    parts[part] = parts[part][:middle] + ("A" if parts[part][middle] != "A" else "B") + parts[part][middle + 1 :]

    refused(await stack.http.post(PATH, headers=bearer(".".join(parts))), *TOKEN_NOT_VALID)


@pytest.mark.parametrize("spelling", ["{}=", "{}.", ".{}", "{0}, Bearer {0}"])
async def test_another_spelling_of_a_good_token_is_refused(stack: Stack, person: Person, spelling: str) -> None:
    access = (await log_in(stack, person)).access

    refused(await stack.http.post(PATH, headers=bearer(spelling.format(access))), *TOKEN_NOT_VALID)


async def test_two_authorization_headers_are_refused(stack: Stack, person: Person) -> None:
    access = (await log_in(stack, person)).access
    headers = httpx.Headers([("Authorization", f"Bearer {access}")] * 2)

    refused(await stack.http.post(PATH, headers=headers), *TOKEN_NOT_VALID)


async def test_a_token_in_the_query_or_the_body_is_not_looked_for(stack: Stack, person: Person) -> None:
    access = (await log_in(stack, person)).access

    invalid(await stack.http.post(PATH, params={"access_token": access}), "access_token")
    refused(await stack.http.post(PATH, data={"access_token": access}), *TOKEN_MISSING)


async def test_the_token_of_a_deleted_account_is_refused(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    answer = await stack.http.delete("/api/v1/users/", headers=bearer(tokens.access))
    assert answer.status_code == 200

    await eventually(lambda: is_refused(stack, tokens.access))


async def test_the_token_of_an_inactive_account_is_refused_also_after_it_is_active_again(
    stack: Stack, person: Person
) -> None:
    tokens = await log_in(stack, person)

    await set_active(stack, person, active=False)
    await eventually(lambda: is_refused(stack, tokens.access))
    await set_active(stack, person, active=True)

    again = await eventually(lambda: log_in(stack, person))
    assert await verify_token(stack, again.access) == 200
    assert await verify_token(stack, tokens.access) == 401


async def is_refused(stack: Stack, access: str) -> bool:
    return await verify_token(stack, access) == 401


async def set_active(stack: Stack, person: Person, *, active: bool) -> None:
    answer = await stack.http.patch(
        "/api/v1/users/", params={"user_id": person.id}, json={"is_active": active}, headers=await admin(stack)
    )
    assert answer.status_code == 200
