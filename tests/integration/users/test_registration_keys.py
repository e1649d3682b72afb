"""A registration can be repeated with its `Idempotency-Key`, and who guesses the key of another learns nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from shared.database import expiry
from shared.messaging.memory import MemoryBus
from tests.builders import OTHER_PASSWORD, registration
from tests.composed import USERS, Keys, UsersApp, running_users, users_settings
from tests.polling import eventually
from tests.servers.databases import Databases, connected
from tests.servers.tcp_proxy import TcpProxy

GATE = 7301  # an advisory lock


def new_key() -> str:
    return f'"{uuid4()}"'


async def register(app: UsersApp, body: dict[str, Any], key: str) -> httpx.Response:
    return await app.http.post(f"{USERS}/registration", json=body, headers={"Idempotency-Key": key})


def assert_used(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_used"), answer.text


async def accounts_in(sql: asyncpg.Connection) -> int:
    return int(await sql.fetchval("SELECT count(*) FROM accounts"))


@asynccontextmanager
async def commits_held(databases: Databases) -> AsyncIterator[None]:
    """A registration stands still in its commit, until the end of the block."""
    async with connected(databases.admin_url) as admin:
        await admin.execute(
            "CREATE FUNCTION users.wait() RETURNS trigger LANGUAGE plpgsql AS"
            f" 'BEGIN PERFORM pg_advisory_xact_lock({GATE}); RETURN NULL; END';"
            " CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON users.accounts DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION users.wait()"
        )
        async with admin.transaction():
            await admin.execute("SELECT pg_advisory_xact_lock($1)", GATE)
            yield


async def one_waits(databases: Databases) -> bool:
    async with connected(databases.admin_url) as admin:
        waiting = "SELECT count(*) FROM pg_locks WHERE objid = $1 AND locktype = 'advisory' AND NOT granted"
        return bool(await admin.fetchval(waiting, GATE))


async def test_the_same_registration_again_is_answered_as_the_first_time(
    users_app: UsersApp, sql: asyncpg.Connection
) -> None:
    body, key = registration(is_2fa=True), new_key()
    first = await register(users_app, body, key)

    for same in (key, key.strip('"')):
        again = await register(users_app, body, same)
        assert (again.status_code, again.json()) == (201, first.json())
        assert [again.headers[name] for name in ("location", "etag")] == [first.headers["location"], '"1"']
    assert await accounts_in(sql) == 1
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE type = 'users.account_changed.v1'") == 1


async def test_what_was_committed_and_answered_503_is_201_at_its_retry(
    databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str, sql: asyncpg.Connection
) -> None:
    address = make_url(databases.users_url)
    host, port = address.host or address.query["host"], address.port or address.query.get("port")
    proxy = TcpProxy(f"{host}/.s.PGSQL.{port}") if str(host).startswith("/") else TcpProxy(str(host), int(str(port)))
    await proxy.start()
    through = address.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(hide_password=False)
    body, key = registration(), new_key()

    async with running_users(users_settings(databases, keys, jwks_url, users_database_url=through), keys, bus) as app:
        async with commits_held(databases):
            first = asyncio.create_task(register(app, body, key))
            await eventually(lambda: one_waits(databases))
            proxy.cut()
            assert (await first).status_code == 503
        await eventually(lambda: accounts_in(sql))

        again = await register(app, body, key)
        other_key = await register(app, body, new_key())

    await proxy.stop()
    assert (again.status_code, again.json()["email"]) == (201, body["email"])
    assert (other_key.status_code, other_key.json()["code"]) == (400, "user_already_exists")
    assert await accounts_in(sql) == 1


async def test_while_the_first_is_under_way_another_is_told_to_come_again(
    users_app: UsersApp, databases: Databases
) -> None:
    body, key = registration(), new_key()
    async with commits_held(databases):
        first = asyncio.create_task(register(users_app, body, key))
        await eventually(lambda: one_waits(databases))

        early = await register(users_app, body, key)

    assert (early.status_code, early.json()["code"]) == (409, "registration_under_way")
    assert int(early.headers["retry-after"]) >= 1
    assert (await register(users_app, body, key)).json() == (await first).json()


async def test_of_ten_at_once_with_one_key_none_is_told_that_its_name_is_taken(
    users_app: UsersApp, sql: asyncpg.Connection
) -> None:
    body, key = registration(), new_key()

    answers = await asyncio.gather(*(register(users_app, body, key) for _ in range(10)))

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[201] >= 1
    assert set(statuses) <= {201, 409}
    assert await accounts_in(sql) == 1


OTHERS: list[dict[str, Any]] = [
    {"email": "other@example.org"},
    {"username": "other"},
    {"name": "Martin"},
    {"lastname": "Gore"},
    {"is_2fa": True},
    {"password": OTHER_PASSWORD},
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: next(iter(other)))
async def test_another_registration_with_the_same_key_is_refused_and_costs_a_hash_whatever_differs(
    users_app: UsersApp, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    body, key = registration(), new_key()
    await register(users_app, body, key)
    verify, verified = users_app.parts.passwords.verify, list[str]()

    async def noted(password: str, *rest: Any) -> bool:
        verified.append(password)
        return await verify(password, *rest)

    monkeypatch.setattr(users_app.parts.passwords, "verify", noted)
    refused = await register(users_app, body | other, key)

    assert_used(refused)
    assert verified == [(body | other)["password"]]
    assert not any(str(value) in refused.text for value in body.values() if isinstance(value, str))
    assert await accounts_in(sql) == 1


async def test_who_has_the_key_and_guesses_the_password_is_limited_as_everywhere(users_app: UsersApp) -> None:
    body, key = registration(), new_key()
    await register(users_app, body, key)
    limit = users_app.parts.settings.current_password_guesses
    for number in range(limit):
        assert_used(await register(users_app, body | {"password": f"guess number {number}"}, key))

    answer = await register(users_app, body, key)

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")


async def test_a_repeat_is_no_guess(users_app: UsersApp) -> None:
    body, key = registration(), new_key()
    limit = users_app.parts.settings.current_password_guesses
    assert [(await register(users_app, body, key)).status_code for _ in range(limit + 2)] == [201] * (limit + 2)


@pytest.mark.parametrize(
    "since", ["UPDATE accounts SET name = 'Martin'", "UPDATE accounts SET password_hash = 'x'", "DELETE FROM accounts"]
)
async def test_an_account_that_is_no_more_as_it_was_registered_is_not_shown_nor_made_again(
    users_app: UsersApp, sql: asyncpg.Connection, since: str
) -> None:
    body, key = registration(), new_key()
    await register(users_app, body, key)
    await sql.execute(since)
    before = await accounts_in(sql)

    assert_used(await register(users_app, body, key))
    assert await accounts_in(sql) == before


async def test_the_key_of_a_registration_that_was_refused_is_free(users_app: UsersApp) -> None:
    taken, key = registration(), new_key()
    await register(users_app, taken, new_key())

    assert (await register(users_app, taken, key)).json()["code"] == "user_already_exists"
    assert (await register(users_app, registration(), key)).status_code == 201


async def test_it_is_kept_for_a_day_as_a_digest_alone(
    users_app: UsersApp,
    databases: Databases,
    keys: Keys,
    bus: MemoryBus,
    jwks_url: str,
    sql: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expiry, "_INTERVAL", 0.05)
    old, young = new_key(), new_key()
    for key, hours in ((old, 24.1), (young, 23.9)):
        await register(users_app, registration(), key)
        mine = "created_at > now() - interval '1 hour'"
        await sql.execute(f"UPDATE registration_keys SET created_at = now() - interval '{hours} hours' WHERE {mine}")

    async with running_users(users_settings(databases, keys, jwks_url), keys, bus):

        async def one_is_left() -> bool:
            return bool(await sql.fetchval("SELECT count(*) FROM registration_keys") == 1)

        await eventually(one_is_left)
    assert_used(await register(users_app, registration(), young))
    row = await sql.fetchrow("SELECT * FROM registration_keys")
    assert set(row.keys()) == {"digest", "account_id", "created_at"}
    assert young.strip('"').encode() not in row["digest"]


@pytest.mark.parametrize("key", ["", '""', '"', "a b", '"a', "a" * 256, "ä", '"\\""'])
async def test_what_is_no_key_is_refused_and_named(users_app: UsersApp, sql: asyncpg.Connection, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    answer = await users_app.http.post(f"{USERS}/registration", json=registration(), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    (error,) = answer.json()["errors"]
    assert error["field"] == "Idempotency-Key"
    assert "UUID" in error["detail"]
    assert await accounts_in(sql) == 0
