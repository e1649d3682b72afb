"""S12: of codes that are tried at once, on two replicas, at most five are compared and one lets in."""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import httpx
import pytest

from tests.auth_steps import Accounts, Login, Steps, pair, wrong
from tests.composed import AuthApp
from tests.database_clock import DatabaseClock
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts, clock, sql, steps
from tests.security.replica import replica

__all__ = ("accounts", "clock", "replica", "sql", "steps")

COOLDOWN = 30


@pytest.fixture
async def login(accounts: Accounts, steps: Steps) -> Login:
    return await steps.begin(await accounts.new(is_2fa=True))


@pytest.fixture
def both(auth_app: AuthApp, replica: AuthApp) -> tuple[AuthApp, AuthApp]:
    return auth_app, replica


async def at_once(both: tuple[AuthApp, AuthApp], temporary: str, codes: list[str]) -> list[httpx.Response]:
    """Every other one on the other replica."""
    tries = (both[number % 2].verify_otp(temporary, code) for number, code in enumerate(codes))
    return await asyncio.gather(*tries)


async def attempts(sql: asyncpg.Connection) -> int:
    return int(await sql.fetchval("SELECT attempts FROM challenges"))


async def test_of_100_right_codes_at_once_exactly_one_succeeds(
    both: tuple[AuthApp, AuthApp], login: Login, sql: asyncpg.Connection
) -> None:
    answers = await at_once(both, login.temporary, [login.code] * 100)

    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 99}
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1
    assert await sql.fetchval("SELECT count(*) FROM refresh_tokens") == 1
    [lucky] = [pair(answer) for answer in answers if answer.status_code == 200]
    assert await both[1].verify_token(lucky.access) == 200


async def test_of_50_wrong_codes_at_once_exactly_five_are_compared(
    both: tuple[AuthApp, AuthApp], login: Login, sql: asyncpg.Connection
) -> None:
    answers = await at_once(both, login.temporary, [wrong(login.code, number) for number in range(1, 51)])

    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.content for answer in answers}) == 1
    assert await attempts(sql) == 5


async def test_the_right_code_among_50_at_once_counts_only_among_the_first_five(
    both: tuple[AuthApp, AuthApp], login: Login, sql: asyncpg.Connection
) -> None:
    guesses = [*(wrong(login.code, number) for number in range(1, 50)), login.code]

    answers = await at_once(both, login.temporary, guesses)

    successes = sum(answer.status_code == 200 for answer in answers)
    assert successes == await sql.fetchval("SELECT count(*) FROM sessions") <= 1
    assert await attempts(sql) <= 5


async def test_a_new_code_that_is_asked_for_at_the_same_moment_does_not_let_in_twice(
    clock: DatabaseClock, both: tuple[AuthApp, AuthApp], login: Login, sql: asyncpg.Connection, inbox: Inbox
) -> None:
    await clock.forward(COOLDOWN)
    resends = asyncio.gather(*(auth.resend_otp(login.temporary) for auth in both))

    answers = await at_once(both, login.temporary, [login.code] * 4)

    sent = sum(answer.status_code == 202 for answer in await resends)
    [email] = inbox.codes
    answers.append(await both[0].verify_otp(login.temporary, await inbox.code_for(email, 1 + sent)))
    assert sum(answer.status_code == 200 for answer in answers) == 1
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1
