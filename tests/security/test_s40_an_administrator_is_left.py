"""S40: an active administrator is always left, and each act of one needs a login of the last minutes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import Row

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.messaging.notice_events import UsersNoticeRequested
from tests.builders import registered, registration
from tests.composed import USERS, UsersApp
from tests.fakes import HeldBus
from tests.servers.databases import Databases, connected

REFUSED = (409, "last_administrator")
TOO_LONG_AGO = 320  # a login counts as recent for 300 seconds
LOSSES: list[dict[str, Any] | None] = [{"is_admin": False}, {"is_active": False}, None]  # None is the deletion


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """Takes no event: nobody listens here."""
    bus = HeldBus(AccountChanged.type, UsersNoticeRequested.type)
    yield bus
    await bus.close()


@pytest.fixture
async def sql(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    async with connected(databases.users_url) as connection:
        yield connection


async def lose(
    app: UsersApp, by: Row[Any], whom: Row[Any], loss: dict[str, Any] | None, *, login_age: float = 0
) -> httpx.Response:
    url, headers = f"{USERS}/{whom.id}", app.as_(by.id, login_age=login_age)
    if loss is None:
        return await app.http.delete(url, headers=headers)
    return await app.http.patch(url, headers=headers, json=loss)


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def left(sql: asyncpg.Connection) -> int:
    return int(await sql.fetchval("SELECT count(*) FROM accounts WHERE is_admin AND is_active"))


async def test_the_last_one_can_neither_go_nor_be_sent_away(users_app: UsersApp, sql: asyncpg.Connection) -> None:
    admin = await registered(users_app.parts, is_admin=True)
    inactive = await registered(users_app.parts, is_admin=True)
    await sql.execute("UPDATE accounts SET is_active = false WHERE id = $1", inactive.id)  # and so is no other one

    assert [outcome(await lose(users_app, admin, admin, loss)) for loss in LOSSES] == [REFUSED] * 3
    assert await left(sql) == 1
    other = await registered(users_app.parts, is_admin=True)
    assert (await lose(users_app, other, admin, {"is_admin": False})).status_code == 200


@pytest.mark.parametrize("loss", LOSSES)
async def test_of_two_who_go_at_once_one_stays(
    users_app: UsersApp, sql: asyncpg.Connection, loss: dict[str, Any] | None
) -> None:
    for _ in range(3):
        pair = [await registered(users_app.parts, is_admin=True) for _ in range(2)]
        answers = await asyncio.gather(*(lose(users_app, each, each, loss) for each in pair))

        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert await left(sql) == 1
        await sql.execute("DELETE FROM accounts")


@pytest.mark.parametrize("loss", LOSSES)
async def test_of_two_who_send_each_other_away_at_once_one_stays(
    users_app: UsersApp, sql: asyncpg.Connection, loss: dict[str, Any] | None
) -> None:
    for _ in range(3):
        one, two = [await registered(users_app.parts, is_admin=True) for _ in range(2)]
        answers = await asyncio.gather(lose(users_app, one, two, loss), lose(users_app, two, one, loss))

        assert min(answer.status_code for answer in answers) == 200
        assert {answer.status_code for answer in answers} <= {200, 401, 403}
        assert await left(sql) == 1
        await sql.execute("DELETE FROM accounts")


async def test_an_old_login_does_nothing_to_others_and_deletes_nobody(
    users_app: UsersApp, sql: asyncpg.Connection
) -> None:
    admin, person = await registered(users_app.parts, is_admin=True), await registered(users_app.parts)
    await registered(users_app.parts, is_admin=True)
    before = await sql.fetch("SELECT * FROM accounts ORDER BY id")

    acts: list[tuple[Row[Any], Row[Any], dict[str, Any] | None]] = [
        *((admin, person, change) for change in ({"name": "Else"}, {"email": "e@example.org"}, {"is_2fa": True})),
        *(
            (admin, person, change)
            for change in ({"is_admin": True}, {"is_active": False}, {"groups": ["staff"]}, None)
        ),
        *((admin, admin, change) for change in ({"is_admin": False}, {"is_active": False}, None)),
        (person, person, None),
    ]
    seen = [outcome(await lose(users_app, by, whom, change, login_age=TOO_LONG_AGO)) for by, whom, change in acts]

    new = {name: value for name, value in registration().items() if name != "password"}
    posts: list[tuple[str, dict[str, Any] | None]] = [
        ("/", new),
        ("/invitations", {"email": new["email"]}),
        (f"/{person.id}/verify-email", None),
        (f"/{person.id}/password-reset", None),
    ]
    headers = users_app.as_(admin.id, login_age=TOO_LONG_AGO)
    seen += [outcome(await users_app.http.post(f"{USERS}{path}", headers=headers, json=body)) for path, body in posts]

    assert seen == [(403, "login_too_old")] * (len(acts) + len(posts))
    assert await sql.fetchval("SELECT count(*) FROM codes") == 0
    assert await sql.fetch("SELECT * FROM accounts ORDER BY id") == before
