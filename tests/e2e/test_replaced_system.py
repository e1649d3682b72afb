"""The holes of the system that this one replaces, one test each: none of them may come back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.stacks.problems import INCORRECT, NOT_PERMITTED, OTP_NOT_VALID, TOKEN_NOT_VALID, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import (
    admin,
    bearer,
    challenged,
    log_in,
    register,
    somebody,
    submit_code,
    submit_password,
    verify_token,
    wrong,
)
from tests.stacks.time_passes import seconds_pass

USERS = "/api/v1/users/"
FREE_GUESSES = 10


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack)


async def test_a_non_admin_does_not_patch_anybody_else(stack: Stack, person: Person) -> None:
    """It looked up the account named in the query, and never asked who was asking."""
    victim = await register(stack)
    own = bearer((await log_in(stack, person)).access)

    answer = await stack.http.patch(USERS, params={"user_id": victim.id}, json={"name": "Mallory"}, headers=own)

    refused(answer, *NOT_PERMITTED)
    for each in (victim, person):
        found = await stack.http.get(USERS, params={"user_id": each.id}, headers=await admin(stack))
        assert [account["name"] for account in found.json()] == ["Dave"]


async def test_a_non_admin_who_deletes_somebody_else_deletes_nobody(stack: Stack, person: Person) -> None:
    """It ignored the name and deleted the caller."""
    victim = await register(stack)
    tokens = await log_in(stack, person)

    answer = await stack.http.delete(USERS, params={"user_id": victim.id}, headers=bearer(tokens.access))

    refused(answer, *NOT_PERMITTED)
    assert (await stack.http.get(f"{USERS}me", headers=bearer(tokens.access))).status_code == 200
    await log_in(stack, person)
    await log_in(stack, victim)


async def test_a_refresh_token_is_not_taken_for_an_access_token(stack: Stack, person: Person) -> None:
    """Both had the same shape, and nobody looked at the kind."""
    own = bearer((await log_in(stack, person)).refresh)

    for answer in (
        await stack.http.get(f"{USERS}me", headers=own),
        await stack.http.patch(USERS, json={"name": "Mallory"}, headers=own),
        await stack.http.delete(USERS, headers=own),
        await stack.http.post("/api/v1/auth/verify-token", headers=own),
        await stack.http.post("/api/v1/auth/logout", headers=own),
    ):
        refused(answer, *TOKEN_NOT_VALID)


async def test_a_temporary_token_is_not_taken_for_an_access_token(stack: Stack) -> None:
    """The second factor could be left out."""
    token, _ = await challenged(stack, await register(stack, is_2fa=True))

    refused(await stack.http.get(f"{USERS}me", headers=bearer(token)), *TOKEN_NOT_VALID)
    assert await verify_token(stack, token) == 401


async def test_codes_can_not_be_guessed_without_end(stack: Stack) -> None:
    """A million guesses are all the codes that there are."""
    token, code = await challenged(stack, await register(stack, is_2fa=True))

    for _ in range(5):
        refused(await submit_code(stack, token, wrong(code)), *OTP_NOT_VALID)

    refused(await submit_code(stack, token, code), *OTP_NOT_VALID)


async def guess(stack: Stack, person: Person, times: int) -> None:
    wrong_password = replace(person, password="wrong horse battery")
    for answer in await asyncio.gather(*(submit_password(stack, wrong_password) for _ in range(times))):
        refused(answer, *INCORRECT)


@pytest.mark.parametrize("registered", [True, False], ids=["an account", "nobody"])
async def test_passwords_can_not_be_guessed_without_end(stack: Stack, registered: bool) -> None:
    """After the free ones each guess costs a wait that doubles, for a name that nobody has just as well."""
    person = await register(stack) if registered else somebody()
    await guess(stack, person, FREE_GUESSES)
    for _ in range(4):  # waits of 1, 2, 4 and 8 s are over; the next one takes 16
        await seconds_pass(stack, person, 10)
        await guess(stack, person, 1)

    for password in ("wrong horse battery", person.password):  # the right one too, while the wait lasts
        answer = await submit_password(stack, person, password=password)
        refused(answer, 429, "too_many_requests", "Too many attempts, please wait")
        assert 8 < int(answer.headers["retry-after"]) <= 16


async def test_after_the_wait_the_right_password_gets_in_and_the_count_begins_anew(
    stack: Stack, person: Person
) -> None:
    await guess(stack, person, FREE_GUESSES)
    await seconds_pass(stack, person, 10)

    assert (await submit_password(stack, person)).status_code == 200
    await guess(stack, person, FREE_GUESSES - 1)
    assert (await submit_password(stack, person)).status_code == 200


async def test_who_guesses_at_one_name_does_not_lock_another(stack: Stack, person: Person) -> None:
    await guess(stack, await register(stack), FREE_GUESSES)

    assert (await submit_password(stack, person)).status_code == 200
