"""`login2fa users republish`: the read model of auth, rebuilt from the system of record."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.users import administration
from shared.messaging.memory import MemoryBus
from shared.messaging.topology import NOTICES
from tests.auth_steps import pair
from tests.builders import registered
from tests.composed import USERS, AuthApp, UsersApp, auth_app
from tests.polling import eventually
from tests.recording import Recorder
from tests.servers.databases import Databases, connected

__all__ = ("auth_app",)


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """The same for both services, and taking every event."""
    bus = MemoryBus()
    await bus.consume(NOTICES.queue, Recorder(), concurrency=1)
    yield bus
    await bus.close()


@pytest.fixture
async def read_model(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    async with connected(databases.auth_url) as connection:
        yield connection


async def all_told(sql: asyncpg.Connection) -> None:
    """In memory an event leaves the outbox when auth is done with it."""

    async def empty() -> bool:
        return not await sql.fetchval("SELECT count(*) FROM outbox")

    await eventually(empty)


async def republish(users: UsersApp, sql: asyncpg.Connection) -> str:
    *_, last = [told async for told in administration.republish(users.parts.database.transaction, users.parts.sealer)]
    await all_told(sql)
    return last


async def state(read_model: asyncpg.Connection) -> list[dict[str, object]]:
    rows = await read_model.fetch("SELECT * FROM identities ORDER BY id")
    return [{name: value for name, value in row.items() if name != "applied_at"} for row in rows]


async def test_an_emptied_read_model_is_rebuilt_deletions_included(
    auth_app: AuthApp,
    users_app: UsersApp,
    sql: asyncpg.Connection,
    read_model: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.users.administration._PAGE", 2)
    kept, gone, admin, other = [
        await registered(users_app.parts, is_admin=number == 2, is_2fa=number == 3) for number in range(4)
    ]
    await users_app.http.patch(f"{USERS}/", headers=users_app.as_(kept.id), json={"name": "David"})
    await users_app.http.delete(f"{USERS}/", headers=users_app.as_(gone.id))
    await all_told(sql)
    before = await state(read_model)
    assert [(row["id"], row["deleted"]) for row in before] == [
        (each.id, each is gone) for each in (kept, gone, admin, other)
    ]
    await read_model.execute("DELETE FROM identities")
    assert (await auth_app.log_in(kept.username)).status_code == 400

    told = await republish(users_app, sql)

    assert told == "3 accounts and 1 deletions are on their way to auth"
    assert await state(read_model) == before
    pair(await auth_app.log_in(kept.username))


async def test_republishing_twice_over_a_good_read_model_changes_nothing_and_ends_no_session(
    auth_app: AuthApp, users_app: UsersApp, sql: asyncpg.Connection, read_model: asyncpg.Connection
) -> None:
    account = await registered(users_app.parts)
    await all_told(sql)
    tokens = pair(await auth_app.log_in(account.username))
    before = await read_model.fetch("SELECT *, xmin::text FROM identities")

    await republish(users_app, sql)
    await republish(users_app, sql)

    assert await read_model.fetch("SELECT *, xmin::text FROM identities") == before
    assert await auth_app.verify_token(tokens.access) == 200


async def test_a_person_registers_and_logs_in_at_once_and_changes_the_password_and_logs_in_at_once(
    auth_app: AuthApp, users_app: UsersApp
) -> None:
    account = await registered(users_app.parts)
    tokens = pair(await auth_app.log_in(account.username))
    body = {"password": "a new password, for once", "confirm_password": "a new password, for once"}

    headers = {"Authorization": f"Bearer {tokens.access}"}
    assert (await users_app.http.post(f"{USERS}/change-password", headers=headers, json=body)).status_code == 200

    pair(await auth_app.log_in(account.username, body["password"]))
    assert await auth_app.verify_token(tokens.access) == 200
