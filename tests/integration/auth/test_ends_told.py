"""What ends sessions at auth is told, by their ids, to who checks access tokens without asking it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import httpx
import jwt
import pytest

from shared.messaging.events import AccountChanged, SessionEnded
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Pair, Steps, pair
from tests.composed import AUTH, AuthApp, bearer
from tests.database_clock import DatabaseClock
from tests.fakes import HeldBus

ACCESS_LIFETIME = timedelta(hours=1)
THOUSANDS = """
INSERT INTO auth.sessions (id, account_id, epoch, amr, expires_at)
SELECT gen_random_uuid(), $1, 0, '{pwd}', auth.now() + interval '1 day' FROM generate_series(1, $2)
"""
TOLD = "SELECT body, xmin::text AS writer FROM outbox WHERE type = $1 ORDER BY id"


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """Takes none of these events, so that each stays in the outbox to be looked at."""
    bus = HeldBus(SessionEnded.type)
    yield bus
    await bus.close()


@pytest.fixture
async def account(clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts) -> AccountChanged:
    return await accounts.new()


def session_of(tokens: Pair) -> UUID:
    return UUID(jwt.decode(tokens.access, options={"verify_signature": False})["sid"])


async def told(sql: asyncpg.Connection) -> list[SessionEnded]:
    return [SessionEnded.model_validate_json(row["body"]) for row in await sql.fetch(TOLD, SessionEnded.type)]


async def log_out(auth: AuthApp, _sql: asyncpg.Connection, mine: Pair, _other: Pair) -> httpx.Response:
    return await auth.http.post(f"{AUTH}/logout", headers=bearer(mine.access))


async def log_out_everywhere(auth: AuthApp, _sql: asyncpg.Connection, mine: Pair, _other: Pair) -> httpx.Response:
    return await auth.http.post(f"{AUTH}/logout?all=true", headers=bearer(mine.access))


async def delete_the_other(auth: AuthApp, _sql: asyncpg.Connection, mine: Pair, other: Pair) -> httpx.Response:
    return await auth.http.delete(f"{AUTH}/sessions/{session_of(other)}", headers=bearer(mine.access))


async def reuse_a_refresh_token(auth: AuthApp, sql: asyncpg.Connection, mine: Pair, _other: Pair) -> httpx.Response:
    pair(await auth.refresh(mine.refresh))
    await sql.execute("UPDATE refresh_tokens SET used_at = used_at - interval '1 hour'")
    return await auth.refresh(mine.refresh)


Act = Callable[[AuthApp, asyncpg.Connection, Pair, Pair], Awaitable[httpx.Response]]
ENDS: dict[Act, set[str]] = {
    log_out: {"mine"},
    log_out_everywhere: {"mine", "other"},
    delete_the_other: {"other"},
    reuse_a_refresh_token: {"mine"},
}


@pytest.mark.parametrize(("act", "ended"), ENDS.items(), ids=lambda it: getattr(it, "__name__", ""))
async def test_each_act_tells_of_the_sessions_that_it_ends_until_their_last_access_token_has_expired(
    account: AccountChanged, auth_app: AuthApp, steps: Steps, sql: asyncpg.Connection, act: Act, ended: set[str]
) -> None:
    tokens = {"mine": await steps.log_in(account), "other": await steps.log_in(account)}

    assert (await act(auth_app, sql, tokens["mine"], tokens["other"])).status_code in {204, 401}

    (event,) = await told(sql)
    assert event.account_id == account.account_id
    assert set(event.session_ids) == {session_of(tokens[name]) for name in ended}
    assert event.until == await sql.fetchval("SELECT auth.now()") + ACCESS_LIFETIME


async def test_it_is_told_in_the_transaction_that_ends_them(
    account: AccountChanged, auth_app: AuthApp, steps: Steps, sql: asyncpg.Connection
) -> None:
    mine = await steps.log_in(account)
    await log_out(auth_app, sql, mine, mine)

    (row,) = await sql.fetch(TOLD, SessionEnded.type)
    assert row["writer"] == await sql.fetchval("SELECT xmin::text FROM sessions WHERE id = $1", session_of(mine))


async def test_what_has_ended_is_not_told_again_and_what_does_not_end_is_not_told(
    account: AccountChanged, auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection
) -> None:
    mine, other = await steps.log_in(account), await steps.log_in(account)
    strangers = await steps.log_in(await accounts.new())
    await reuse_a_refresh_token(auth_app, sql, other, other)
    before = await told(sql)

    answers = [
        await auth_app.refresh(other.refresh),
        await log_out(auth_app, sql, other, other),
        await delete_the_other(auth_app, sql, mine, other),
        await delete_the_other(auth_app, sql, mine, strangers),
        await auth_app.http.delete(f"{AUTH}/sessions/{uuid4()}", headers=bearer(mine.access)),
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 404, 404, 404]
    assert await told(sql) == before


async def test_thousands_of_sessions_are_told_in_events_of_a_size_that_every_reader_takes(
    account: AccountChanged, auth_app: AuthApp, steps: Steps, sql: asyncpg.Connection
) -> None:
    mine = await steps.log_in(account)
    await sql.execute(THOUSANDS, account.account_id, 1200)
    living = {row["id"] for row in await sql.fetch("SELECT id FROM sessions")}

    assert (await log_out_everywhere(auth_app, sql, mine, mine)).status_code == 204

    events = await told(sql)
    assert [len(event.session_ids) for event in events] == [500, 500, 201]
    assert {session for event in events for session in event.session_ids} == living
