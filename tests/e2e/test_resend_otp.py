"""POST /auth/resend-otp: a new code for the same login."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.stacks.problems import OTP_NOT_VALID, TOKEN_NOT_VALID, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import bearer, challenged, log_in, register, submit_code, submit_password, wrong
from tests.stacks.time_passes import seconds_pass

COOLDOWN = 30


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack, is_2fa=True)


async def resend(stack: Stack, token: str) -> httpx.Response:
    return await stack.http.post("/api/v1/auth/resend-otp", headers=bearer(token))


def refused_for_now(answer: httpx.Response, longest: int) -> None:
    refused(answer, 429, "too_many_requests", "Too many attempts, please wait")
    assert 1 <= int(answer.headers["retry-after"]) <= longest
    assert answer.headers["cache-control"] == "no-store"


async def test_a_new_code_comes_and_the_old_one_is_dead(stack: Stack, person: Person) -> None:
    token, old = await challenged(stack, person)
    await seconds_pass(stack, person, COOLDOWN)

    answer = await resend(stack, token)

    assert answer.status_code == 202
    assert answer.headers["cache-control"] == "no-store"
    new = await stack.inbox.wait_for_code(person.email, after=1)
    if new != old:  # by chance it may be the same
        refused(await submit_code(stack, token, old), *OTP_NOT_VALID)
    assert (await submit_code(stack, token, new)).status_code == 200


async def test_within_the_cool_down_it_is_refused_and_the_code_stays(stack: Stack, person: Person) -> None:
    token, code = await challenged(stack, person)

    refused_for_now(await resend(stack, token), COOLDOWN)

    assert (await submit_code(stack, token, code)).status_code == 200


async def test_of_two_resends_at_once_one_is_within_the_cool_down(stack: Stack, person: Person) -> None:
    token, _ = await challenged(stack, person)
    await seconds_pass(stack, person, COOLDOWN)

    answers = await asyncio.gather(*(resend(stack, token) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [202, 429, 429, 429, 429]


async def test_a_fourth_resend_is_refused(stack: Stack, person: Person) -> None:
    token, _ = await challenged(stack, person)
    for resent in range(3):
        await seconds_pass(stack, person, COOLDOWN)
        assert (await resend(stack, token)).status_code == 202
        # Mails that are under way together arrive in any order.
        last = await stack.inbox.wait_for_code(person.email, after=resent + 1)
    await seconds_pass(stack, person, COOLDOWN)

    refused_for_now(await resend(stack, token), 240)

    assert (await submit_code(stack, token, last)).status_code == 200


async def test_attempts_and_expiry_of_the_challenge_stay(stack: Stack, person: Person) -> None:
    token, code = await challenged(stack, person)
    for _ in range(4):
        refused(await submit_code(stack, token, wrong(code)), *OTP_NOT_VALID)
    await seconds_pass(stack, person, 200)
    assert (await resend(stack, token)).status_code == 202
    code = await stack.inbox.wait_for_code(person.email, after=1)

    await seconds_pass(stack, person, 40)
    refused(await submit_code(stack, token, code), *OTP_NOT_VALID)

    token, code = await challenged(stack, person)
    for _ in range(4):
        refused(await submit_code(stack, token, wrong(code)), *OTP_NOT_VALID)
    await seconds_pass(stack, person, COOLDOWN)
    assert (await resend(stack, token)).status_code == 202
    code = await stack.inbox.wait_for_code(person.email, after=3)
    refused(await submit_code(stack, token, wrong(code)), *OTP_NOT_VALID)
    refused(await submit_code(stack, token, code), *OTP_NOT_VALID)


async def test_a_challenge_that_is_used_spent_or_expired_is_over(stack: Stack, person: Person) -> None:
    used, code = await challenged(stack, person)
    assert (await submit_code(stack, used, code)).status_code == 200
    refused(await resend(stack, used), *TOKEN_NOT_VALID)

    spent, code = await challenged(stack, person)
    for _ in range(5):
        await submit_code(stack, spent, wrong(code))
    refused(await resend(stack, spent), *TOKEN_NOT_VALID)

    expired, _ = await challenged(stack, person)
    await seconds_pass(stack, person, 240)
    refused(await resend(stack, expired), *TOKEN_NOT_VALID)


async def test_only_a_temporary_token_is_taken(stack: Stack, person: Person) -> None:
    tokens = await log_in(stack, person)

    for token in (tokens.access, tokens.refresh, "no.token.atall"):
        answer = await resend(stack, token)
        refused(answer, *TOKEN_NOT_VALID)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_an_account_gets_twenty_codes_an_hour_by_logins_and_resends_together(
    stack: Stack, person: Person
) -> None:
    token, _ = await challenged(stack, person)
    for _ in range(18):
        assert (await submit_password(stack, person)).status_code == 200
    await seconds_pass(stack, person, COOLDOWN)
    assert (await resend(stack, token)).status_code == 202

    refused_for_now(await submit_password(stack, person), 3600)
    await seconds_pass(stack, person, COOLDOWN)
    refused_for_now(await resend(stack, token), 3600)

    await seconds_pass(stack, person, 3600)
    assert (await submit_password(stack, person)).status_code == 200
