"""A refresh token is used once, but by a client that lost our answer; what reuse leads to: tests/security, S24."""

from __future__ import annotations

import asyncio

import asyncpg
import jwt
import pytest

from tests.auth_steps import Accounts, Pair, Steps, pair
from tests.composed import AuthApp
from tests.database_clock import DatabaseClock

GRACE = 10
REFRESH_LIFETIME = 30 * 86400


@pytest.fixture
async def first(clock: DatabaseClock, accounts: Accounts, steps: Steps) -> Pair:
    """The pair that a login gave, while the database's clock stands still."""
    return await steps.log_in(await accounts.new())


async def assert_refused(auth: AuthApp, refresh: str) -> None:
    answer = await auth.refresh(refresh)
    assert (answer.status_code, answer.json()["detail"]) == (401, "Token not valid")
    assert answer.json()["error"] == "invalid_grant"


async def test_a_refresh_gives_a_new_pair_of_the_same_session(first: Pair, auth_app: AuthApp) -> None:
    second = pair(await auth_app.refresh(first.refresh))

    assert second.refresh != first.refresh
    claims = [jwt.decode(each.access, options={"verify_signature": False}) for each in (first, second)]
    assert claims[0]["jti"] != claims[1]["jti"]
    assert all(claims[0][name] == claims[1][name] for name in ("sid", "sub", "auth_time", "amr"))
    assert [await auth_app.verify_token(each.access) for each in (first, second)] == [200, 200]
    pair(await auth_app.refresh(second.refresh))


async def test_within_the_grace_a_client_that_lost_the_answer_gets_one_more_pair(
    first: Pair, clock: DatabaseClock, auth_app: AuthApp
) -> None:
    pair(await auth_app.refresh(first.refresh))  # lost
    await clock.forward(GRACE - 1)

    second = pair(await auth_app.refresh(first.refresh))

    assert await auth_app.verify_token(second.access) == 200
    pair(await auth_app.refresh(second.refresh))


async def test_two_refreshes_at_once_leave_exactly_one_living_token(
    first: Pair, auth_app: AuthApp, sql: asyncpg.Connection
) -> None:
    answers = await asyncio.gather(*(auth_app.refresh(first.refresh) for _ in range(2)))

    assert {answer.status_code for answer in answers} == {200}
    assert await sql.fetchval("SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL") == 1


async def test_a_refresh_token_lives_for_30_days_from_its_own_issue(
    first: Pair, clock: DatabaseClock, auth_app: AuthApp, sql: asyncpg.Connection
) -> None:
    # The token's own `exp` runs by the process's clock, which stays: the database alone refuses here.
    await clock.forward(REFRESH_LIFETIME - 1)
    second = pair(await auth_app.refresh(first.refresh))
    await clock.forward(REFRESH_LIFETIME)

    await assert_refused(auth_app, second.refresh)

    assert await sql.fetchval("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL") == 0  # late is not theft


async def test_only_a_refresh_token_refreshes(auth_app: AuthApp, accounts: Accounts, steps: Steps) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))
    tokens = pair(await auth_app.verify_otp(login.temporary, login.code))

    for token in (tokens.access, login.temporary, "x", tokens.refresh + "=", tokens.refresh[:-1]):
        await assert_refused(auth_app, token)
    pair(await auth_app.refresh(tokens.refresh))
