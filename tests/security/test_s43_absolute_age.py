"""S43: a session ends at its absolute age, however often it is refreshed."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import jwt
import pytest

from services.auth.expiry import expired
from shared.database import expiry
from shared.messaging.events import AccountChanged
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, pair
from tests.composed import AUTH, AuthApp, bearer
from tests.database_clock import DatabaseClock
from tests.integration.auth.conftest import accounts, clock, sql

__all__ = ("accounts", "clock", "sql")

DAY = 86400
MAX_LIFETIME, REFRESH_LIFETIME, ACCESS_LIFETIME = 90 * DAY, 30 * DAY, 3600


@pytest.fixture
async def account(clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts) -> AccountChanged:
    """The database's clock stands still. Tokens' own `exp` runs by the process's clock: here the database refuses."""
    return await accounts.new()


@pytest.fixture
async def first(account: AccountChanged, auth_app: AuthApp) -> Pair:
    return pair(await auth_app.log_in(account.username))


def claim(token: str, name: str) -> int:
    return int(jwt.decode(token, options={"verify_signature": False})[name])


async def grown_old(auth: AuthApp, clock: DatabaseClock, tokens: Pair, seconds: int) -> Pair:
    """The latest pair of the session after so many seconds, in which it has been refreshed often enough."""
    while seconds:
        step = min(seconds, REFRESH_LIFETIME - 1)
        await clock.forward(step)
        tokens, seconds = pair(await auth.refresh(tokens.refresh)), seconds - step
    return tokens


async def assert_over(auth: AuthApp, tokens: Pair) -> None:
    problem(await auth.refresh(tokens.refresh), 401, "invalid_refresh_token")
    for method, path in (("POST", "verify-token"), ("GET", "forward"), ("GET", "sessions"), ("POST", "logout")):
        answer = await auth.http.request(method, f"{AUTH}/{path}", headers=bearer(tokens.access))
        assert (path, answer.status_code) == (path, 401)


async def listed(auth: AuthApp, tokens: Pair) -> int:
    return len((await auth.http.get(f"{AUTH}/sessions", headers=bearer(tokens.access))).json())


async def test_however_often_it_is_refreshed_it_ends_90_days_after_its_login(
    first: Pair, clock: DatabaseClock, auth_app: AuthApp
) -> None:
    last = await grown_old(auth_app, clock, first, MAX_LIFETIME - 1)
    assert await auth_app.verify_token(last.access) == 200

    await clock.forward(1)

    await assert_over(auth_app, last)


async def test_neither_token_outlives_it_and_expires_in_says_so(
    first: Pair, clock: DatabaseClock, auth_app: AuthApp
) -> None:
    old = await grown_old(auth_app, clock, first, MAX_LIFETIME - ACCESS_LIFETIME // 2)

    answer = await auth_app.refresh(old.refresh)

    end = claim(first.access, "auth_time") + MAX_LIFETIME
    assert [claim(token, "exp") for token in (pair(answer).access, pair(answer).refresh)] == [end, end]
    assert answer.json()["expires_in"] == ACCESS_LIFETIME // 2


async def test_no_row_says_that_it_lives_longer(
    first: Pair, clock: DatabaseClock, auth_app: AuthApp, sql: asyncpg.Connection
) -> None:
    await grown_old(auth_app, clock, first, MAX_LIFETIME - DAY)

    latest = """
    SELECT max(greatest(sessions.expires_at, refresh_tokens.expires_at) - began_at)
    FROM sessions JOIN refresh_tokens ON refresh_tokens.session_id = sessions.id
    """
    assert await sql.fetchval(latest) == timedelta(seconds=MAX_LIFETIME)


async def test_one_that_is_400_days_old_is_neither_prolonged_nor_taken_for_theft(
    first: Pair, account: AccountChanged, auth_app: AuthApp, sql: asyncpg.Connection
) -> None:
    """As after a lower setting: what the rows say of its end is later."""
    other = pair(await auth_app.log_in(account.username))
    session = jwt.decode(first.access, options={"verify_signature": False})["sid"]
    await sql.execute("UPDATE sessions SET began_at = began_at - interval '400 days' WHERE id = $1", session)

    await assert_over(auth_app, first)

    own = await auth_app.http.delete(f"{AUTH}/sessions/{session}", headers=bearer(other.access))
    assert (own.status_code, await listed(auth_app, other)) == (404, 1)
    assert await sql.fetchval("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL") == 0


async def test_it_is_listed_and_kept_exactly_as_long_as_it_lives(
    first: Pair, account: AccountChanged, clock: DatabaseClock, auth_app: AuthApp, sql: asyncpg.Connection
) -> None:
    await grown_old(auth_app, clock, first, MAX_LIFETIME - 1)
    other = pair(await auth_app.log_in(account.username))
    counts = []
    for _ in range(3):
        await expiry.sweep(auth_app.parts.database, expired(familiar_address_lifetime=DAY))
        counts.append((await listed(auth_app, other), await sql.fetchval("SELECT count(*) FROM sessions")))
        await clock.forward(1)

    assert counts == [(2, 2), (1, 2), (1, 1)]
