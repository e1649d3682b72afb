"""S39: what has ended, was taken or locked while a request waited writes nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts, ended_sessions
from services.users import app as service
from services.users.callers import Users
from shared.broker.memory import MemoryBus
from shared.events import AccountChanged, UsersNoticeRequested
from tests.builders import OTHER_PASSWORD, PASSWORD, password_hash, registered, session_ended
from tests.composed import USERS, UsersApp
from tests.fakes import HeldBus
from tests.polling import eventually
from tests.servers.databases import Databases, connected

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
NEW_PASSWORD = {"password": "another battery staple", "confirm_password": "another battery staple"}


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """Takes no event: nobody listens here."""
    bus = HeldBus(AccountChanged.type, UsersNoticeRequested.type)
    yield bus
    await bus.close()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An administrator, who is not the last one, in a session; and somebody else."""

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
            person = await registered(users_app.parts)
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


async def password_changed_in_this_session(
    connection: AsyncConnection, users: Users, row: Row[Any], session: UUID
) -> None:
    changes = {"password_hash": password_hash(OTHER_PASSWORD)}
    await accounts.change(connection, users.sealer, row, changes, by_session=session)


# --- what waits

Request = Callable[[Scene], Coroutine[Any, Any, httpx.Response]]


async def change_password_after_a_fresh_login(scene: Scene) -> httpx.Response:
    url = f"{USERS}/change-password"
    return await scene.app.http.post(url, headers=scene.headers, json=NEW_PASSWORD)


async def change_password_with_the_current_one(scene: Scene) -> httpx.Response:
    body = NEW_PASSWORD | {"current_password": PASSWORD}
    return await scene.app.http.post(f"{USERS}/change-password", headers=scene.headers, json=body)


async def patch_own(scene: Scene) -> httpx.Response:
    return await scene.app.http.patch(f"{USERS}/", headers=scene.headers, json={"name": "Mallory"})


async def delete_own(scene: Scene) -> httpx.Response:
    return await scene.app.http.delete(f"{USERS}/", headers=scene.headers)


async def patch_own_right(scene: Scene) -> httpx.Response:
    return await scene.app.http.patch(f"{USERS}/", headers=scene.headers, json={"is_admin": False})


async def patch_another(scene: Scene) -> httpx.Response:
    params = {"user_id": str(scene.person.id)}
    body = {"is_admin": True}
    return await scene.app.http.patch(f"{USERS}/", headers=scene.headers, params=params, json=body)


async def delete_another(scene: Scene) -> httpx.Response:
    params = {"user_id": str(scene.person.id)}
    return await scene.app.http.delete(f"{USERS}/", headers=scene.headers, params=params)


OF_OTHERS: list[Request] = [patch_another, delete_another]
REQUESTS: list[Request] = [
    change_password_after_a_fresh_login,
    change_password_with_the_current_one,
    patch_own,
    delete_own,
    patch_own_right,
    *OF_OTHERS,
]


async def waited(scene: Scene, request: Request, meanwhile: Meanwhile) -> tuple[httpx.Response, bool]:
    """The answer to a request that waited while this was done; and whether it wrote anything."""
    users = scene.app.parts
    async with users.database.transaction() as connection:
        row = (await accounts.lock(connection, scene.admin.id))[scene.admin.id]
        asked = asyncio.create_task(request(scene))

        await eventually(lambda: _waits_or_is_done(scene, asked), timeout=60)
        await meanwhile(connection, users, row, scene.session)
    return await asked, await _wrote(scene)


async def _waits_or_is_done(scene: Scene, asked: asyncio.Task[httpx.Response]) -> bool:
    return asked.done() or await scene.somebody_waits()


async def _wrote(scene: Scene) -> bool:
    """Whether anything is in the tables that the request, and not what happened meanwhile, has put there."""
    person = await scene.sql.fetchrow("SELECT name, is_admin FROM users.accounts WHERE id = $1", scene.person.id)
    own = await scene.sql.fetchrow("SELECT name, password_hash FROM users.accounts WHERE id = $1", scene.admin.id)
    new = own is not None and own["password_hash"] not in (password_hash(), password_hash(OTHER_PASSWORD))
    touched = person is None or person["is_admin"] or (own is not None and own["name"] == "Mallory")
    return new or touched


@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_session_that_ended_while_its_request_waited_writes_nothing(
    new_scene: MakeScene, request_: Request
) -> None:
    seen = {}
    for meanwhile in ENDS:
        scene = await new_scene()
        answer, wrote = await waited(scene, request_, meanwhile)
        left = await scene.sql.fetchval("SELECT count(*) FROM users.accounts WHERE id = $1", scene.admin.id)
        seen[meanwhile] = (answer.status_code, answer.json()["detail"], wrote, left)

    assert seen == {each: (401, "Token not valid", False, 0 if each is deleted else 1) for each in ENDS}


@pytest.mark.parametrize("request_", [*OF_OTHERS, patch_own_right])
async def test_a_right_that_was_taken_while_its_request_waited_changes_nobody(scene: Scene, request_: Request) -> None:
    answer, wrote = await waited(scene, request_, admin_taken)

    assert (answer.status_code, answer.json()["detail"], wrote) == (403, "Not enough permissions", False)


async def test_a_password_that_was_changed_meanwhile_is_the_current_one_no_more(scene: Scene) -> None:
    answer, wrote = await waited(scene, change_password_with_the_current_one, password_changed_in_this_session)

    assert (answer.status_code, answer.json()["code"], wrote) == (403, "current_password_wrong", False)


async def test_a_login_that_grew_old_while_its_request_waited_is_old(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its age is asked again under the lock; here the lock is held until the limit has become none at all."""

    async def limit_passes(_connection: AsyncConnection, users: Users, _row: Row[Any], _session: UUID) -> None:
        monkeypatch.setattr("services.users.callers.Caller.is_recent", lambda _caller: False)

    answer, wrote = await waited(scene, change_password_after_a_fresh_login, limit_passes)

    assert (answer.status_code, answer.json()["code"], wrote) == (403, "current_password_wrong", False)


@pytest.mark.parametrize("request_", OF_OTHERS)
async def test_an_account_that_was_deleted_meanwhile_is_not_found(scene: Scene, request_: Request) -> None:
    async def target_deleted(connection: AsyncConnection, _users: Users, _row: Row[Any], _session: UUID) -> None:
        await accounts.remove(connection, scene.person)

    answer, _ = await waited(scene, request_, target_deleted)

    assert answer.status_code == 404


async def test_a_session_does_not_end_between_check_and_commit(scene: Scene) -> None:
    """The end waits for the row as every write does."""
    users = scene.app.parts
    event = session_ended(scene.session).model_copy(update={"account_id": scene.admin.id})

    async def end() -> None:
        async with users.database.transaction() as connection:
            await ended_sessions.apply(connection, event)

    async with users.database.transaction() as connection:
        await accounts.lock(connection, scene.admin.id)
        ending = asyncio.create_task(end())

        await eventually(scene.somebody_waits, timeout=60)
        assert await scene.sql.fetchval("SELECT count(*) FROM users.ended_sessions") == 0
    await ending
    assert await scene.sql.fetchval("SELECT count(*) FROM users.ended_sessions") == 1


async def test_two_administrators_who_act_on_each_other_at_once_both_get_an_answer(scene: Scene) -> None:
    """Both rows are locked in the order of their ids, whoever asks: nobody deadlocks."""
    other = await registered(scene.app.parts, is_admin=True)

    async def rename(by: Row[Any], whom: Row[Any], name: str) -> int:
        params = {"user_id": str(whom.id)}
        headers = scene.app.as_(by.id)
        answer = await scene.app.http.patch(f"{USERS}/", headers=headers, params=params, json={"name": name})
        return answer.status_code

    pairs = [(scene.admin, other), (other, scene.admin)] * 3
    answers = await asyncio.gather(*(rename(by, whom, f"Name{n}") for n, (by, whom) in enumerate(pairs)))

    assert answers == [200] * len(pairs)


# --- so that nobody forgets

SOURCES = sorted(Path(service.__file__).parent.glob("*.py"))
WRITES = re.compile(r"\b(insert|update|delete)\(accounts\b|\baccounts\.(create|change|remove|lock)\(")
OPENS_A_TRANSACTION = re.compile(r"\.(transaction|statement|driver)\(")


def test_one_module_alone_writes_accounts_and_no_route_opens_a_transaction() -> None:
    texts = {path.stem: path.read_text() for path in SOURCES}

    assert {name for name, text in texts.items() if WRITES.search(text)} == {"accounts", "writes"}
    routes = {name for name, text in texts.items() if "APIRouter(" in text}
    assert {"me", "routes"} <= routes
    assert {name for name in routes if OPENS_A_TRANSACTION.search(texts[name])} == set()
