"""POST /auth/verify-otp: the code that came by mail, compared and used in one statement."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from tests.polling import eventually
from tests.servers.databases import connected
from tests.stacks.problems import OTP_NOT_VALID, TOKEN_MISSING, TOKEN_NOT_VALID, invalid, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import (
    bearer,
    challenged,
    log_in,
    pair,
    register,
    submit_code,
    temporary_token,
    verify_token,
    wrong,
)
from tests.stacks.time_passes import seconds_pass


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack, is_2fa=True)


async def attempts(stack: Stack, person: Person) -> int:
    """Codes compared so far, on all challenges of this person."""
    async with connected(stack.auth_database_url) as database:
        query = "SELECT sum(attempts)::int FROM auth.challenges WHERE account_id = $1"
        return int(await database.fetchval(query, person.id))


async def applied(stack: Stack, person: Person, *, epoch: int) -> None:
    """Wait until auth knows of the change that ended the sessions before `epoch`."""

    async def known() -> bool:
        async with connected(stack.auth_database_url) as database:
            query = "SELECT session_epoch FROM auth.identities WHERE id = $1"
            return bool(await database.fetchval(query, person.id) == epoch)

    await eventually(known)


async def test_the_right_code_gives_a_token_pair(stack: Stack, person: Person) -> None:
    answer = await submit_code(stack, *await challenged(stack, person))

    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "otp_required"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 3600)
    assert answer.headers["cache-control"] == "no-store"
    assert await verify_token(stack, body["access_token"]) == 200


async def test_the_access_token_says_how_the_person_logged_in(stack: Stack, person: Person) -> None:
    access = pair(await submit_code(stack, *await challenged(stack, person))).access

    payload = access.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["amr"] == ["pwd", "otp", "mfa"]


async def test_a_wrong_code_does_not_spoil_the_right_one(stack: Stack, person: Person) -> None:
    token, code = await challenged(stack, person)

    for _ in range(4):
        refused(await submit_code(stack, token, wrong(code)), *OTP_NOT_VALID)

    assert (await submit_code(stack, token, code)).status_code == 200


async def test_wrong_used_expired_and_attempts_spent_get_one_answer(stack: Stack, person: Person) -> None:
    token, code = await challenged(stack, person)
    answers = [await submit_code(stack, token, wrong(code))]

    assert (await submit_code(stack, token, code)).status_code == 200
    answers.append(await submit_code(stack, token, code))

    token, code = await challenged(stack, person)
    answers.extend([await submit_code(stack, token, wrong(code)) for _ in range(5)])
    answers.append(await submit_code(stack, token, code))

    token, code = await challenged(stack, person)
    await seconds_pass(stack, person, 240)
    answers.append(await submit_code(stack, token, code))

    problems = [refused(answer, *OTP_NOT_VALID) for answer in answers]
    assert all(problem == problems[0] for problem in problems)
    assert (problems[0]["error"], problems[0]["error_description"]) == ("invalid_grant", "OTP not valid")


async def test_a_code_is_good_for_almost_four_minutes(stack: Stack, person: Person) -> None:
    token, code = await challenged(stack, person)

    await seconds_pass(stack, person, 220)

    assert (await submit_code(stack, token, code)).status_code == 200


async def test_a_code_with_the_token_of_another_challenge_is_refused(stack: Stack, person: Person) -> None:
    own_token, own_code = await challenged(stack, person)
    later_token, later_code = await challenged(stack, person)
    stranger = await register(stack, is_2fa=True)
    strangers_token, strangers_code = await challenged(stack, stranger)

    # By chance the codes may be the same.
    if own_code not in (later_code, strangers_code):
        refused(await submit_code(stack, later_token, own_code), *OTP_NOT_VALID)
        refused(await submit_code(stack, strangers_token, own_code), *OTP_NOT_VALID)

    assert (await submit_code(stack, own_token, own_code)).status_code == 200
    assert (await submit_code(stack, later_token, later_code)).status_code == 200
    assert (await submit_code(stack, strangers_token, strangers_code)).status_code == 200


async def test_only_a_temporary_token_is_taken(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    _, code = await challenged(stack, person)

    for token in (tokens.access, tokens.refresh, "no.token.atall"):
        refused(await submit_code(stack, token, code), *TOKEN_NOT_VALID)
    missing = await stack.http.post("/api/v1/auth/verify-otp", json={"otp": code})
    refused(missing, *TOKEN_MISSING)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda code: "".join(chr(ord(digit) + 0xFEE0) for digit in code), id="full-width digits"),
        pytest.param(lambda code: "".join(chr(ord(digit) - 48 + 0x1D7CE) for digit in code), id="mathematical digits"),
        pytest.param(lambda code: "".join(chr(ord(digit) - 48 + 0x660) for digit in code), id="Arabic-Indic digits"),
        pytest.param(int, id="an integer"),
        pytest.param(float, id="a float"),
        pytest.param(lambda code: [code], id="a list"),
        pytest.param(lambda code: f"{code}\0", id="NUL after"),
        pytest.param(lambda code: f"{code}0", id="seven digits"),
        pytest.param(lambda code: code[:5], id="five digits"),
        pytest.param(lambda _: "", id="nothing"),
        pytest.param(lambda _: None, id="null"),
        pytest.param(lambda _: True, id="true"),
    ],
)
async def test_anything_but_six_ascii_digits_is_refused_and_not_counted(
    stack: Stack, person: Person, change: Any
) -> None:
    """A library that compares codes took full-width digits and numbers for them."""
    token, code = await challenged(stack, person)

    invalid(await submit_code(stack, token, change(code)), "otp")

    assert await attempts(stack, person) == 0
    assert (await submit_code(stack, token, code)).status_code == 200


async def test_a_hundred_parallel_verifications_of_the_right_code_give_one_success(
    stack: Stack, person: Person
) -> None:
    token, code = await challenged(stack, person)

    async def submit() -> httpx.Response:
        while (answer := await submit_code(stack, token, code)).status_code == 503:
            pass  # on a busy machine some wait too long for the database, and are told to come again
        return answer

    answers = await asyncio.gather(*(submit() for _ in range(100)))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 99
    for answer in answers:
        if answer.status_code == 400:
            refused(answer, *OTP_NOT_VALID)


async def test_of_fifty_parallel_wrong_codes_five_are_compared(stack: Stack, person: Person) -> None:
    token, code = await challenged(stack, person)

    answers: list[httpx.Response] = await asyncio.gather(*(submit_code(stack, token, wrong(code)) for _ in range(50)))

    for answer in answers:
        refused(answer, *OTP_NOT_VALID)
    assert await attempts(stack, person) == 5
    refused(await submit_code(stack, token, code), *OTP_NOT_VALID)
    assert await attempts(stack, person) == 5


async def test_a_changed_password_ends_the_challenge(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)
    token, code = await challenged(stack, person)

    change = {"password": "another horse battery", "confirm_password": "another horse battery"}
    answer = await stack.http.post("/api/v1/users/change-password", json=change, headers=bearer(tokens.access))
    assert answer.status_code == 200
    await applied(stack, person, epoch=1)

    refused(await submit_code(stack, token, code), *OTP_NOT_VALID)


async def test_a_login_may_be_begun_twice_and_each_has_its_code(stack: Stack, person: Person) -> None:
    first, first_code = await challenged(stack, person)
    second = await temporary_token(stack, person)
    second_code = await stack.inbox.wait_for_code(person.email, after=1)

    assert (await submit_code(stack, second, second_code)).status_code == 200
    assert (await submit_code(stack, first, first_code)).status_code == 200
