"""A request that waits for a lock, and what happens meanwhile to the account that asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import account_factors, accounts, ended_sessions
from services.users.callers import Users
from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.messaging.notice_events import UsersNoticeRequested
from tests.builders import OTHER_PASSWORD, factors_changed, password_hash, registered, session_ended
from tests.composed import UsersApp
from tests.fakes import HeldBus
from tests.polling import eventually
from tests.servers.databases import Databases, connected

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@asynccontextmanager
async def held(databases: Databases, *queries: str) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Holds these locks until the end. What it gives returns when so many others wait."""
    async with connected(databases.admin_url) as sql, sql.transaction(), connected(databases.admin_url) as looking:
        for query in queries:
            await sql.execute(f"{query} FOR UPDATE")

        async def wait(waiting: int) -> None:
            async def so_many() -> bool:
                return bool(await looking.fetchval(WAITING) == waiting)

            await eventually(so_many, timeout=60)

        yield wait


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """Takes no event: nobody listens here."""
    bus = HeldBus(AccountChanged.type, UsersNoticeRequested.type)
    yield bus
    await bus.close()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An administrator, who is not the last one, in a session; and somebody else, whose address is not proved."""

    app: UsersApp
    admin: Row[Any]
    person: Row[Any]
    sql: asyncpg.Connection
    session: UUID = field(default_factory=uuid4)

    @property
    def headers(self) -> dict[str, str]:
        return self.app.as_(self.admin.id, session=self.session)

    async def somebody_waits(self) -> bool:
        return bool(await self.sql.fetchval(WAITING))


MakeScene = Callable[[], Awaitable[Scene]]


@pytest.fixture
async def new_scene(users_app: UsersApp, databases: Databases) -> AsyncIterator[MakeScene]:
    await registered(users_app.parts, is_admin=True)
    async with connected(databases.users_url) as sql:

        async def make() -> Scene:
            admin = await registered(users_app.parts, is_admin=True)
            person = await registered(users_app.parts, email_verified_at=None)
            return Scene(app=users_app, admin=admin, person=person, sql=sql)

        yield make


@pytest.fixture
async def scene(new_scene: MakeScene) -> Scene:
    return await new_scene()


# --- what happens meanwhile, to the caller's row and in the transaction that holds it

Meanwhile = Callable[[AsyncConnection, Users, Row[Any], UUID], Awaitable[Any]]


async def two_factor_toggled_in_another_session(
    connection: AsyncConnection, users: Users, row: Row[Any], _session: UUID
) -> None:
    await accounts.change(connection, users.sealer, row, {"is_2fa": True}, by_session=uuid4())


async def logged_out(connection: AsyncConnection, _users: Users, row: Row[Any], session: UUID) -> None:
    ended = session_ended(session).model_copy(update={"account_id": row.id})
    await ended_sessions.apply(connection, ended)


async def logged_out_everywhere(connection: AsyncConnection, _users: Users, row: Row[Any], session: UUID) -> None:
    ended = session_ended(uuid4(), session).model_copy(update={"account_id": row.id})
    await ended_sessions.apply(connection, ended)


async def deactivated(connection: AsyncConnection, users: Users, row: Row[Any], _session: UUID) -> None:
    await accounts.change(connection, users.sealer, row, {"is_active": False}, by_session=None)


async def reactivated(connection: AsyncConnection, users: Users, row: Row[Any], session: UUID) -> None:
    await deactivated(connection, users, row, session)
    row = (await accounts.lock(connection, row.id))[row.id]
    await accounts.change(connection, users.sealer, row, {"is_active": True}, by_session=None)


async def deleted(connection: AsyncConnection, _users: Users, row: Row[Any], _session: UUID) -> None:
    await accounts.remove(connection, row)


async def password_changed_in_another_session(
    connection: AsyncConnection, users: Users, row: Row[Any], _session: UUID
) -> None:
    changes = {"password_hash": password_hash(OTHER_PASSWORD)}
    await accounts.change(connection, users.sealer, row, changes, by_session=uuid4())


ENDS = [
    two_factor_toggled_in_another_session,
    logged_out,
    logged_out_everywhere,
    deactivated,
    reactivated,
    deleted,
    password_changed_in_another_session,
]


async def admin_taken(connection: AsyncConnection, users: Users, row: Row[Any], _session: UUID) -> None:
    await accounts.change(connection, users.sealer, row, {"is_admin": False}, by_session=None)


async def factor_added(connection: AsyncConnection, _users: Users, row: Row[Any], _session: UUID) -> None:
    await account_factors.apply(connection, factors_changed(row.id, "totp"))


async def password_changed_in_this_session(
    connection: AsyncConnection, users: Users, row: Row[Any], session: UUID
) -> None:
    changes = {"password_hash": password_hash(OTHER_PASSWORD)}
    await accounts.change(connection, users.sealer, row, changes, by_session=session)
