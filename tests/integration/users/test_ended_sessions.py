"""Users keeps what auth tells of ended sessions for as long as an access token of theirs may be good."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import Row

from services.users import ended_sessions
from shared.database import expiry
from shared.database.pool import Database
from shared.messaging.bus import Done, Retry
from shared.messaging.events import SessionEnded
from shared.messaging.handlers import event_handler
from shared.messaging.memory import MemoryBus
from tests.builders import delivery, message, registered, session_ended
from tests.composed import USERS, Keys, UsersApp, running_users, users_settings
from tests.polling import eventually
from tests.servers.databases import Databases

ENDED = """
INSERT INTO users.ended_sessions (id, until)
SELECT gen_random_uuid(), now() + make_interval(mins => $1) FROM generate_series(1, $2)
"""


@pytest.fixture
async def account(users_app: UsersApp) -> Row[Any]:
    return await registered(users_app.parts)


async def me(users: UsersApp, account: Row[Any], session: UUID) -> int:
    return (await users.http.get(f"{USERS}/me", headers=users.as_(account.id, session=session))).status_code


async def test_an_ended_session_is_refused_and_no_other_however_often_it_is_told(
    users_app: UsersApp, account: Row[Any]
) -> None:
    handle = event_handler(users_app.parts.database, SessionEnded, ended_sessions.apply)
    one, other, alive = uuid4(), uuid4(), uuid4()
    assert [await me(users_app, account, each) for each in (one, other, alive)] == [200] * 3

    first = session_ended(one)
    for event in (first, first, session_ended(other, one), session_ended(one, other), first):
        assert await handle(delivery(event)) == Done()

    assert [await me(users_app, account, each) for each in (one, other, alive)] == [401, 401, 200]


async def test_it_may_be_told_before_the_session_is_ever_seen(
    users_app: UsersApp, account: Row[Any], bus: MemoryBus
) -> None:
    session = uuid4()

    await bus.publish(message(session_ended(session)))

    assert await me(users_app, account, session) == 401


async def test_they_are_kept_until_every_clock_says_that_their_tokens_have_expired_and_no_longer(
    databases: Databases,
    keys: Keys,
    bus: MemoryBus,
    jwks_url: str,
    sql: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expiry, "_INTERVAL", 0.05)
    for minutes, number in ((-11, 2300), (-9, 7), (59, 7)):  # several batches
        await sql.execute(ENDED, minutes, number)

    async def left() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM ended_sessions") == 14)

    settings = users_settings(databases, keys, jwks_url)
    async with running_users(settings, keys, bus), running_users(settings, keys, bus):
        await eventually(left)


async def test_one_that_finds_no_database_is_put_off() -> None:
    database = Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none", pool_timeout=0.1)
    handler = event_handler(database, SessionEnded, ended_sessions.apply)

    assert await handler(delivery(session_ended())) == Retry("database unavailable", tried=False)
    await database.close()


@pytest.mark.usefixtures("users_app")
@pytest.mark.parametrize("body", [b"", b"null", b'{"session_ids": ["canary"]}', b'{"session_ids": []}'])
async def test_poison_is_given_up_with_a_reason_that_repeats_nothing(bus: MemoryBus, body: bytes) -> None:
    await bus.publish(message(session_ended(), body=body))

    (letter,) = bus.dead_letters
    assert letter.reason.startswith("MalformedEvent: malformed auth.session_ended.v1")
    assert "canary" not in letter.reason
