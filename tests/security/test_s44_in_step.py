"""S44: a demoted administrator passes nowhere after ADMIN_STALENESS, broker or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.users import accounts, administration, in_step
from shared.database.pool import Database
from shared.messaging.events import AccountChanged, InStep
from shared.messaging.memory import MemoryBus
from shared.messaging.topology import NOTICES
from tests.auth_steps import Pair, pair
from tests.builders import message, registered
from tests.composed import AUTH, AuthApp, Keys, UsersApp, bearer, running_users, users_settings
from tests.fakes import HeldBus
from tests.polling import eventually
from tests.recording import Recorder
from tests.security.somebody import password_accepted
from tests.servers.databases import Databases, connected

TOO_LONG = timedelta(seconds=301)
NOBODY = (403, "false")
ADMINISTRATOR = (204, "true")


@pytest.fixture
async def bus() -> AsyncIterator[HeldBus]:
    bus = HeldBus()
    await bus.consume(NOTICES.queue, Recorder(), concurrency=1)
    yield bus
    await bus.close()


@pytest.fixture
async def users_app(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> AsyncIterator[UsersApp]:
    async with running_users(users_settings(databases, keys, jwks_url, in_step_every=0.2), keys, bus) as app:
        yield app


@pytest.fixture
async def sql(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    async with connected(databases.admin_url) as admin:
        yield admin


async def administrator(auth: AuthApp, users: UsersApp) -> tuple[UUID, Pair]:
    account = await registered(users.parts, is_admin=True)
    return account.id, pair(await password_accepted(auth, account.username))


async def seen(auth: AuthApp, tokens: Pair) -> tuple[int, str]:
    """How `forward/admin` answers, and what `forward` says."""
    headers = bearer(tokens.access)
    answer = await auth.http.get(f"{AUTH}/forward", headers=headers)
    return (await auth.http.get(f"{AUTH}/forward/admin", headers=headers)).status_code, answer.headers["x-auth-admin"]


async def becomes(auth: AuthApp, tokens: Pair, expected: tuple[int, str]) -> None:
    async def so() -> bool:
        assert await seen(auth, tokens) == expected
        return True

    await eventually(so)


async def demote(users: UsersApp, account: UUID) -> None:
    async with users.parts.database.transaction() as connection:
        row = (await accounts.lock(connection, account))[account]
        await accounts.change(connection, users.parts.sealer, row, {"is_admin": False}, by_session=None)


async def time_passes(sql: asyncpg.Connection, time: timedelta = TOO_LONG) -> None:
    await sql.execute("UPDATE auth.in_step SET heard = heard - $1::interval", time)


async def told_twice_more(sql: asyncpg.Connection) -> None:
    """Users has told twice, and auth has dealt with both."""
    for _ in range(2):
        before = await sql.fetchval("SELECT told_at FROM users.in_step")

        async def again(before: datetime = before) -> bool:
            gone = not await sql.fetchval("SELECT count(*) FROM users.outbox WHERE type = $1", InStep.type)
            return gone and await sql.fetchval("SELECT told_at > $1 FROM users.in_step", before)

        await eventually(again)


async def test_while_the_broker_is_away_a_demoted_administrator_passes_for_so_long_and_no_longer(
    auth_app: AuthApp, users_app: UsersApp, bus: HeldBus, sql: asyncpg.Connection
) -> None:
    (account, demoted), (_, other) = await administrator(auth_app, users_app), await administrator(auth_app, users_app)
    await becomes(auth_app, demoted, ADMINISTRATOR)
    bus.held.add(AccountChanged.type)
    await held_back(bus, sql)
    await demote(users_app, account)
    assert await seen(auth_app, demoted) == ADMINISTRATOR  # auth can not know

    await time_passes(sql)

    assert await seen(auth_app, demoted) == await seen(auth_app, other) == NOBODY
    assert (await auth_app.http.get(f"{AUTH}/forward", headers=bearer(other.access))).status_code == 204
    bus.held.clear()
    await becomes(auth_app, other, ADMINISTRATOR)
    assert await seen(auth_app, demoted) == NOBODY


async def test_a_demotion_that_was_lost_on_its_way_is_not_covered_up_by_what_comes_after_it(
    auth_app: AuthApp, users_app: UsersApp, bus: HeldBus, sql: asyncpg.Connection
) -> None:
    (account, demoted), (_, other) = await administrator(auth_app, users_app), await administrator(auth_app, users_app)
    await becomes(auth_app, demoted, ADMINISTRATOR)
    bus.held.add(AccountChanged.type)
    await demote(users_app, account)
    await sql.execute("DELETE FROM users.outbox WHERE type = $1", AccountChanged.type)
    bus.held.clear()

    await told_twice_more(sql)
    await time_passes(sql)
    await told_twice_more(sql)

    assert await seen(auth_app, demoted) == await seen(auth_app, other) == NOBODY
    async for _ in administration.republish(users_app.parts.database.transaction, users_app.parts.sealer):
        pass
    await becomes(auth_app, other, ADMINISTRATOR)
    assert await seen(auth_app, demoted) == NOBODY


async def held_back(bus: HeldBus, sql: asyncpg.Connection) -> None:
    """From now on auth hears no word of users, nor one that was under way."""
    bus.held.add(InStep.type)
    await eventually(lambda: not bus.under_way)
    await eventually(lambda: sql.fetchval("SELECT count(*) FROM users.outbox WHERE type = $1", InStep.type))


async def test_before_users_has_said_a_word_nobody_is_an_administrator(
    auth_app: AuthApp, users_app: UsersApp, bus: HeldBus, sql: asyncpg.Connection
) -> None:
    await held_back(bus, sql)
    await sql.execute("UPDATE auth.in_step SET heard = NULL")

    _, tokens = await administrator(auth_app, users_app)

    assert await seen(auth_app, tokens) == NOBODY


async def test_a_word_that_is_late_or_repeated_or_ahead_of_its_time_makes_nothing_fresh(
    auth_app: AuthApp, users_app: UsersApp, bus: HeldBus, sql: asyncpg.Connection
) -> None:
    account, tokens = await administrator(auth_app, users_app)
    await becomes(auth_app, tokens, ADMINISTRATOR)
    await held_back(bus, sql)
    known: dict[str, Any] = {"incarnation": 1, "administrators": ((account, 1),)}
    await time_passes(sql)

    await MemoryBus.publish(bus, message(InStep(moment=datetime.now(UTC) - TOO_LONG, **known)))
    assert await seen(auth_app, tokens) == NOBODY

    # A clock of users that is ahead: it counts when it was heard.
    await MemoryBus.publish(bus, message(InStep(moment=datetime.now(UTC) + timedelta(days=1), **known)))
    assert await seen(auth_app, tokens) == ADMINISTRATOR
    await time_passes(sql)
    assert await seen(auth_app, tokens) == NOBODY


async def test_of_several_replicas_one_tells_and_none_while_the_last_word_waits(
    databases: Databases, sql: asyncpg.Connection
) -> None:
    """No relay takes the word away here."""
    await sql.execute("UPDATE users.in_step SET told_at = told_at - interval '1 hour'")
    database = Database(databases.users_url)

    async def a_turn(every: timedelta) -> bool:
        async with database.transaction() as connection:
            if claimed := await in_step._claim_turn(connection, every):
                await in_step.report(connection)
            return claimed

    at_once = await asyncio.gather(*(a_turn(timedelta(minutes=1)) for _ in range(8)))
    later = [await a_turn(timedelta(0)) for _ in range(3)]

    assert (sum(at_once), later) == (1, [False] * 3)
    assert await sql.fetchval("SELECT count(*) FROM users.outbox WHERE type = $1", InStep.type) == 1
    await database.close()
