"""POST /auth/token: the first step, and without 2FA the only one."""

from __future__ import annotations

import asyncio

import pytest

from tests.polling import eventually
from tests.stacks.problems import INCORRECT, invalid, refused
from tests.stacks.stack import Stack
from tests.stacks.steps import admin, register, somebody, submit_password, verify_token

TOKEN = "/api/v1/auth/token"


async def test_without_2fa_a_form_gives_a_token_pair(stack: Stack) -> None:
    person = await register(stack)

    answer = await submit_password(stack, person, grant_type="password")

    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "otp_required"}
    assert (body["token_type"], body["expires_in"], body["otp_required"]) == ("bearer", 3600, False)
    assert answer.headers["cache-control"] == "no-store"
    assert await verify_token(stack, body["access_token"]) == 200


async def test_without_2fa_json_gives_a_token_pair(stack: Stack) -> None:
    person = await register(stack)

    answer = await stack.http.post(TOKEN, json={"username": person.username, "password": person.password})

    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in", "otp_required"}


@pytest.mark.parametrize("encoding", ["form", "json"])
async def test_with_2fa_a_temporary_token_and_never_a_field_access_token(stack: Stack, encoding: str) -> None:
    person = await register(stack, is_2fa=True)
    credentials = {"username": person.username, "password": person.password}

    if encoding == "form":
        answer = await stack.http.post(TOKEN, data=credentials)
    else:
        answer = await stack.http.post(TOKEN, json=credentials)

    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"temporary_token", "token_type", "expires_in", "otp_required"}
    assert (body["token_type"], body["expires_in"], body["otp_required"]) == ("bearer", 240, True)
    assert answer.headers["cache-control"] == "no-store"
    assert len(await stack.inbox.wait_for_code(person.email)) == 6


async def test_the_username_is_the_same_in_other_letters(stack: Stack) -> None:
    person = await register(stack)
    full_width = "".join(chr(ord(letter) + 0xFEE0) for letter in person.username)

    for spelling in (person.username.upper(), full_width, f" {person.username} "):
        answer = await submit_password(stack, person, username=spelling)
        assert answer.status_code == 200, spelling


async def test_unknown_user_wrong_password_and_inactive_account_get_one_answer(stack: Stack) -> None:
    inactive = await register(stack)
    query = {"user_id": inactive.id}
    answer = await stack.http.patch(
        "/api/v1/users/", params=query, json={"is_active": False}, headers=await admin(stack)
    )
    assert answer.status_code == 200

    async def inactive_refused() -> dict[str, object]:
        return refused(await submit_password(stack, inactive), *INCORRECT)

    problems = [
        await eventually(inactive_refused),
        refused(await submit_password(stack, somebody()), *INCORRECT),
        refused(await submit_password(stack, await register(stack), password="wrong horse"), *INCORRECT),
    ]
    assert problems[0] == problems[1] == problems[2]
    assert problems[0]["error"] == "invalid_grant"
    assert problems[0]["error_description"] == "Incorrect username or password"


@pytest.mark.parametrize("missing", ["username", "password"])
async def test_a_missing_field_is_named(stack: Stack, missing: str) -> None:
    credentials = {"username": "dave", "password": "secret horse"}
    del credentials[missing]

    for answer in (await stack.http.post(TOKEN, data=credentials), await stack.http.post(TOKEN, json=credentials)):
        problem = invalid(answer, missing)
        assert problem["error"] == "invalid_request"
        assert "secret horse" not in answer.text


async def test_a_field_given_twice_is_refused(stack: Stack) -> None:
    """RFC 6749 section 3.2."""
    person = await register(stack)

    answer = await stack.http.post(
        TOKEN, data={"username": [person.username, person.username], "password": person.password}
    )

    refused(answer, 422, "invalid_request")


async def test_another_grant_type_is_refused(stack: Stack) -> None:
    answer = await submit_password(stack, await register(stack), grant_type="client_credentials")

    invalid(answer, "grant_type")


async def test_two_right_logins_at_once_both_succeed(stack: Stack) -> None:
    person = await register(stack)

    answers = await asyncio.gather(*(submit_password(stack, person) for _ in range(2)))

    assert [answer.status_code for answer in answers] == [200, 200]
    assert len({answer.json()["access_token"] for answer in answers}) == 2
