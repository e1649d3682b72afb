"""Every change of an account writes its whole new state once, in the same transaction: for auth, and without names for
programs around us.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import Row

from services.users import administration
from shared.messaging.events import AccountChanged
from shared.messaging.public_events import AccountPublic
from tests.builders import OTHER_PASSWORD, password_hash, registered, registration
from tests.composed import USERS, Keys, UsersApp
from tests.integration.users.conftest import SentCodes
from tests.servers.databases import Databases, connected


async def outbox(sql: asyncpg.Connection) -> list[AccountChanged]:
    """Each has its public event beside it, of the same state and from the same transaction."""
    query = "SELECT event_id, body, xmin::text AS writer FROM outbox WHERE type = $1 ORDER BY id"
    rows, public_rows = [await sql.fetch(query, kind.type) for kind in (AccountChanged, AccountPublic)]
    events = [AccountChanged.model_validate_json(row["body"]) for row in rows]
    public = [AccountPublic.model_validate_json(row["body"]) for row in public_rows]
    assert [row["event_id"] for row in rows] == [event.event_id for event in events]
    assert [row["event_id"] for row in public_rows] == [event.event_id for event in public]
    assert [row["writer"] for row in rows] == [row["writer"] for row in public_rows]
    assert [each.model_dump(exclude={"event_id", "occurred_at"}) for each in public] == list(map(shown, events))
    return events


def shown(event: AccountChanged) -> dict[str, Any]:
    same = {name: getattr(event, name) for name in ("account_id", "version", "deleted", "is_active", "is_admin")}
    return same | {"epoch": event.session_epoch, "kept_session": event.kept_session}


@pytest.fixture
async def account(users_app: UsersApp, sql: asyncpg.Connection) -> Row[Any]:
    account = await registered(users_app.parts)
    await sql.execute("DELETE FROM outbox")
    return account


@pytest.fixture
async def admin(users_app: UsersApp, sql: asyncpg.Connection) -> Row[Any]:
    admin = await registered(users_app.parts, is_admin=True)
    await sql.execute("DELETE FROM outbox")
    return admin


async def assert_told(sql: asyncpg.Connection, keys: Keys, version: int) -> AccountChanged:
    """One event, of the account's state as the table has it now, written by the transaction that wrote the table."""
    [event] = await outbox(sql)
    row = await sql.fetchrow("SELECT *, xmin::text AS writer FROM accounts WHERE id = $1", event.account_id)
    assert row is not None
    assert row["writer"] == await sql.fetchval("SELECT xmin::text FROM outbox WHERE event_id = $1", event.event_id)
    assert (event.incarnation, event.version, event.deleted) == (1, version, False)
    told = event.model_dump(exclude={"event_id", "account_id", "incarnation", "deleted", "sealed_password_hash"})
    of_row = dict(row) | {"email_verified": row["email_verified_at"] is not None, "groups": tuple(row["groups"])}
    assert told == {name: of_row[name] for name in told}
    assert row["password_hash"] == keys.account_sealer.open(event.sealed_password_hash, event.hash_context)
    assert row["password_hash"] not in event.to_body()
    return event


async def test_a_registration_tells_of_version_1(users_app: UsersApp, sql: asyncpg.Connection, keys: Keys) -> None:
    assert (await users_app.http.post(f"{USERS}/registration", json=registration(is_2fa=True))).status_code == 201

    event = await assert_told(sql, keys, 1)

    assert (event.is_2fa, event.is_active, event.is_admin, event.session_epoch) == (True, True, False, 0)


@pytest.mark.parametrize(
    ("change", "epoch"),
    [
        ({"name": "David"}, 0),
        ({"lastname": "Gahan-Smith"}, 0),
        ({"username": "another"}, 0),
        ({"email": "another@example.org"}, 0),  # pending
        ({"is_2fa": True}, 1),
        ({"name": "David", "is_2fa": True, "email": "another@example.org"}, 1),
    ],
)
async def test_a_change_tells_the_whole_state_of_the_next_version_once(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection, keys: Keys, change: dict[str, Any], epoch: int
) -> None:
    answer = await users_app.http.patch(f"{USERS}/", headers=users_app.as_(account.id), json=change)

    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    event = await assert_told(sql, keys, 2)
    assert event.session_epoch == epoch
    assert (event.kept_session is not None) == bool(epoch)


async def test_a_new_address_is_told_once_its_code_is_back(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection, keys: Keys, sent: SentCodes
) -> None:
    new, headers = "another@example.org", users_app.as_(account.id)
    assert (await users_app.http.patch(f"{USERS}/", headers=headers, json={"email": new})).status_code == 200
    code = await sent.latest(new, "change")
    await sql.execute("DELETE FROM outbox")

    assert (await users_app.http.post(f"{USERS}/verify-email", headers=headers, json={"code": code})).is_success

    event = await assert_told(sql, keys, 3)
    assert (event.email, event.email_verified, event.session_epoch) == (new, True, 1)
    assert event.kept_session is not None


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"is_admin": True}, {"is_2fa": True}, {"email": "another@example.org"}]
)
async def test_an_admins_change_of_somebody_keeps_no_session_of_the_admin(
    users_app: UsersApp,
    account: Row[Any],
    admin: Row[Any],
    sql: asyncpg.Connection,
    keys: Keys,
    change: dict[str, Any],
) -> None:
    query = {"user_id": str(account.id)}

    answer = await users_app.http.patch(f"{USERS}/", params=query, headers=users_app.as_(admin.id), json=change)

    assert answer.status_code == 200
    event = await assert_told(sql, keys, 2)
    assert (event.account_id, event.kept_session) == (account.id, None)


async def test_a_password_change_tells_the_new_hash_and_keeps_the_session_that_made_it(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection, keys: Keys
) -> None:
    body = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}
    headers = users_app.as_(account.id)

    assert (await users_app.http.post(f"{USERS}/change-password", headers=headers, json=body)).status_code == 200

    event = await assert_told(sql, keys, 2)
    new_hash = keys.account_sealer.open(event.sealed_password_hash, event.hash_context)
    assert new_hash != password_hash()
    assert await users_app.parts.passwords.verify(OTHER_PASSWORD, new_hash)
    assert event.session_epoch == 1
    assert event.kept_session is not None
    assert not event.password_by_mail
    assert (await users_app.http.get(f"{USERS}/me", headers=headers)).status_code == 200


@pytest.mark.parametrize("same", [{"name": "Dave"}, {"is_2fa": False}, {"name": " Dave ", "lastname": "Gahan"}])
async def test_a_change_to_what_already_is_writes_nothing(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection, same: dict[str, Any]
) -> None:
    before = await sql.fetchrow("SELECT *, xmin::text FROM accounts")

    answer = await users_app.http.patch(f"{USERS}/", headers=users_app.as_(account.id), json=same)

    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    assert await sql.fetchrow("SELECT *, xmin::text FROM accounts") == before
    assert await outbox(sql) == []


async def test_a_refused_change_writes_nothing(users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection) -> None:
    taken = (await registered(users_app.parts)).username
    await sql.execute("DELETE FROM outbox")
    headers = users_app.as_(account.id)
    before = await sql.fetch("SELECT *, xmin::text FROM accounts ORDER BY id")

    refusals = [
        await users_app.http.patch(f"{USERS}/", headers=headers, json={"name": "David", "username": taken.upper()}),
        await users_app.http.patch(f"{USERS}/", headers=headers, json={"name": "David", "is_admin": True}),
        await users_app.http.patch(f"{USERS}/", headers={**headers, "If-Match": '"7"'}, json={"name": "David"}),
        await users_app.http.patch(f"{USERS}/", headers=headers, json={}),
        await users_app.http.patch(f"{USERS}/", headers=headers, json={"name": None}),
    ]

    assert [answer.status_code for answer in refusals] == [400, 403, 412, 400, 422]
    assert await sql.fetch("SELECT *, xmin::text FROM accounts ORDER BY id") == before
    assert await outbox(sql) == []


async def test_a_deletion_leaves_a_tombstone_without_personal_data(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection
) -> None:
    answer = await users_app.http.delete(f"{USERS}/", headers=users_app.as_(account.id))

    [event] = await outbox(sql)
    assert answer.status_code == 200
    assert event == AccountChanged(
        event_id=event.event_id, account_id=account.id, incarnation=1, version=2, deleted=True
    )
    assert not await sql.fetchval("SELECT count(*) FROM accounts")
    assert await sql.fetchval("SELECT version FROM tombstones WHERE id = $1", account.id) == 2
    writers = "SELECT xmin::text FROM outbox UNION SELECT xmin::text FROM tombstones"
    assert len(await sql.fetch(writers)) == 1


async def send(app: UsersApp, what: str, headers: dict[str, str]) -> httpx.Response:
    new_password = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}
    match what:
        case "registration":
            return await app.http.post(f"{USERS}/registration", json=registration())
        case "change":
            return await app.http.patch(f"{USERS}/", headers=headers, json={"name": "David"})
        case "password":
            return await app.http.post(f"{USERS}/change-password", headers=headers, json=new_password)
        case _:
            return await app.http.delete(f"{USERS}/", headers=headers)


@pytest.mark.parametrize("what", ["registration", "change", "password", "deletion"])
async def test_a_change_that_can_not_be_told_is_rolled_back_whole(
    users_app: UsersApp, account: Row[Any], databases: Databases, sql: asyncpg.Connection, what: str
) -> None:
    async with connected(databases.admin_url) as admin:
        await admin.execute(
            "CREATE FUNCTION users.fail() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$;"
            "CREATE TRIGGER fail BEFORE INSERT ON users.outbox FOR EACH ROW EXECUTE FUNCTION users.fail();"
        )
    before = await sql.fetch("SELECT *, xmin::text FROM accounts ORDER BY id")

    answer = await send(users_app, what, users_app.as_(account.id))

    assert (answer.status_code, answer.json()["code"]) == (503, "temporarily_unavailable")
    assert "retry-after" in answer.headers
    assert await sql.fetch("SELECT *, xmin::text FROM accounts ORDER BY id") == before
    assert not await sql.fetchval("SELECT count(*) FROM tombstones")
    assert await outbox(sql) == []

    async with connected(databases.admin_url) as admin:
        await admin.execute("DROP TRIGGER fail ON users.outbox")
    assert (await send(users_app, what, users_app.as_(account.id))).is_success
    assert len(await outbox(sql)) == 1


@pytest.mark.parametrize("force", [False, True])
async def test_accounts_and_deletions_are_told_again_and_after_a_restore_in_a_higher_version_and_epoch(
    users_app: UsersApp, account: Row[Any], admin: Row[Any], sql: asyncpg.Connection, force: bool
) -> None:
    assert (await users_app.http.delete(f"{USERS}/", headers=users_app.as_(account.id))).status_code == 200
    await sql.execute("DELETE FROM outbox")
    parts = users_app.parts

    _ = [told async for told in administration.republish(parts.database.transaction, parts.sealer, force=force)]

    left, gone = await outbox(sql)
    assert (left.account_id, left.deleted, gone.account_id, gone.deleted) == (admin.id, False, account.id, True)
    assert (left.version > admin.version, left.session_epoch > admin.session_epoch) == (force, force)
