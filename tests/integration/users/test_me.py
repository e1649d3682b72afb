"""The caller's own account: on the short way, read together with what others ask at that moment."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Row

from services.users import accounts
from services.users.schemas import AccountOut
from shared.messaging.memory import MemoryBus
from tests.builders import registered
from tests.composed import USERS, Keys, UsersApp, client, running_users, users_settings
from tests.round_trips import RoundTrips
from tests.servers.databases import Databases


@pytest.fixture
async def account(users_app: UsersApp) -> Row[Any]:
    return await registered(users_app.parts)


async def me(app: UsersApp, headers: dict[str, str]) -> httpx.Response:
    return await app.http.get(f"{USERS}/me", headers=headers)


async def test_one_statement_is_asked_for_the_caller_and_those_of_the_same_moment_ask_together(
    databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str
) -> None:
    settings = users_settings(databases, keys, jwks_url, database_pool=2)  # few to be warmed
    async with running_users(settings, keys, bus) as app:
        round_trips = RoundTrips(app.parts.database)
        people = [await registered(app.parts) for _ in range(4)]
        everyone = [app.as_(each.id) for each in people] * 4
        for _ in range(10):  # the first ones open connections, and prepare their statements
            await me(app, everyone[0])

        before = round_trips.of_all_requests()
        alone = [await me(app, everyone[0]) for _ in range(2)]
        asked_alone = round_trips.of_all_requests() - before
        together = await asyncio.gather(*(me(app, headers) for headers in everyone))
        asked_together = round_trips.of_all_requests() - before - asked_alone

    assert asked_alone == 2
    # At most one for who came first, and one for all who came meanwhile.
    assert asked_together <= 2
    assert {answer.status_code for answer in alone} == {200}
    assert [answer.json()["id"] for answer in together] == [str(each.id) for each in people] * 4


async def test_of_those_who_ask_together_each_is_answered_for_a_session_of_its_own(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection
) -> None:
    other, ended = await registered(users_app.parts), uuid4()
    await sql.execute("INSERT INTO ended_sessions (id, until) VALUES ($1, now() + interval '1 hour')", ended)
    everyone = [
        users_app.as_(account.id),
        users_app.as_(account.id, session=ended),
        users_app.as_(account.id),
        users_app.as_(other.id, session=ended),
        users_app.as_(other.id),
        users_app.as_(uuid4()),
    ]

    answers = await asyncio.gather(*(me(users_app, headers) for headers in everyone))

    assert [answer.status_code for answer in answers] == [200, 401, 200, 401, 200, 401]
    assert [answer.json().get("id") for answer in answers[:5:2]] == [str(account.id), str(account.id), str(other.id)]


@pytest.mark.parametrize(
    "names",
    [
        {"name": "Zoë", "lastname": "Müller-Łukasiewicz"},
        {"name": '"quoted"', "lastname": "back\\slash / </script>"},
        {"name": "\u2028\u2029\U0001f600", "lastname": "\u007f\ufffe"},
        {"name": "null", "lastname": "None", "username": "名前"},
    ],
)
async def test_the_short_way_answers_with_the_very_bytes_that_the_framework_would(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection, names: dict[str, str]
) -> None:
    settings = ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 1))
    await sql.execute(f"UPDATE accounts SET {settings}, version = 7, is_2fa = true", *names.values())
    framework = FastAPI()

    @framework.get("/")
    async def plain() -> AccountOut:
        async with users_app.parts.database.transaction() as connection:
            return AccountOut.model_validate(await accounts.find(connection, account.id), from_attributes=True)

    async with client(framework) as other:
        expected = await other.get("/")
    answer = await me(users_app, users_app.as_(account.id))

    assert answer.content == expected.content
    assert answer.json()["name"] == names["name"]
    headers = {name: answer.headers[name] for name in ("content-type", "content-length", "etag")}
    assert headers == {**{name: expected.headers[name] for name in ("content-type", "content-length")}, "etag": '"7"'}
