"""`login2fa users import` and `export`: accounts of another system, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Row

from services.users import accounts
from services.users.importing import Import, Result, exported
from shared.messaging.audit_events import UsersAudited
from shared.messaging.events import AccountChanged
from tests.composed import UsersApp
from tests.fakes import HeldBus
from tests.servers.databases import Databases, connected

HASH = "$2b$04$ptaxBDYPZmxJoO9Qpy58HOZwpsDH6NqDA9G28eS.SZVaWqVLlBKwG"


class Importer:
    def __init__(self, users: UsersApp, sql: asyncpg.Connection) -> None:
        self._users = users
        self._sql = sql
        self.said: list[str] = []

    async def take(self, *lines: dict[str, Any] | bytes, **options: bool) -> Result:
        """Refusals are in `said`."""
        parts, result = self._users.parts, Result()
        taking = Import(database=parts.database, sealer=parts.sealer, reserved_domains=True, **options)
        given = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        async for result in taking.run(given):
            self.said += [f"{refused.line} {refused.said}" for refused in result.refused]
        return result

    async def accounts(self) -> list[asyncpg.Record]:
        return list(await self._sql.fetch("SELECT * FROM users.accounts ORDER BY email"))

    async def told(self, event: str) -> list[dict[str, Any]]:
        rows = await self._sql.fetch("SELECT body FROM users.outbox WHERE type = $1 ORDER BY id", event)
        return [json.loads(row["body"]) for row in rows]


@pytest.fixture
async def importer(users_app: UsersApp, databases: Databases, bus: HeldBus) -> AsyncIterator[Importer]:
    bus.held.add(UsersAudited.type)
    async with connected(databases.admin_url) as sql:
        yield Importer(users_app, sql)


async def everybody(users: UsersApp) -> Sequence[Row[Any]]:
    async with users.parts.database.transaction() as connection:
        return await accounts.page(connection, filters={}, after=None, limit=100)


def line(who: str, **fields: Any) -> dict[str, Any]:
    return {"email": f"{who}@test.com", "name": who.title(), "lastname": "Lee", "password_hash": HASH} | fields


def counts(result: Result) -> tuple[int, int, int, int]:
    return result.made, result.changed, result.there, result.refusals


async def test_an_account_is_made_as_its_line_has_it_and_auth_and_the_trail_are_told(importer: Importer) -> None:
    ann = line("ann", username="ann", is_admin=True, groups=["staff"], email_verified=True, is_2fa=True)
    assert counts(await importer.take(ann, line("bob", is_active=False))) == (2, 0, 0, 0)

    first, second = await importer.accounts()
    assert (first["username"], first["password_hash"], first["groups"]) == ("ann", HASH, ["staff"])
    assert (first["is_admin"], first["is_2fa"], first["email_verified_at"] is not None) == (True, True, True)
    assert (second["username"], second["is_active"], second["email_verified_at"]) == ("bob@test.com", False, None)
    assert [event["username"] for event in await importer.told(AccountChanged.type)] == ["ann", "bob@test.com"]
    acts = [(event["act"], event["reason"]) for event in await importer.told(UsersAudited.type)]
    assert acts == [("registration", "operator")] * 2 + [("admin_granted", "operator")]
    assert HASH not in json.dumps(await importer.told(AccountChanged.type))


async def test_the_same_file_again_makes_the_rest_and_changes_nothing(importer: Importer) -> None:
    await importer.take(line("ann"))
    told = await importer.told(AccountChanged.type)

    assert counts(await importer.take(line("ann", name="Another"), line("bob"))) == (1, 0, 1, 0)

    assert [row["name"] for row in await importer.accounts()] == ["Ann", "Bob"]
    assert len(await importer.told(AccountChanged.type)) == len(told) + 1


async def test_an_upsert_changes_what_a_line_says_but_no_password(importer: Importer) -> None:
    await importer.take(line("ann", groups=["old"]), line("bob"))

    changed = line("ann", name="Anna", groups=["new"], password_hash=HASH.replace("ptax", "pta."))
    assert counts(await importer.take(changed, line("bob"), upsert=True)) == (0, 1, 1, 0)

    ann, bob = await importer.accounts()
    assert (ann["name"], ann["groups"], ann["password_hash"]) == ("Anna", ["new"], HASH)
    assert bob["version"] == 1


@pytest.mark.parametrize("upsert", [False, True])
async def test_a_dry_run_counts_and_writes_nothing(importer: Importer, upsert: bool) -> None:
    await importer.take(line("ann"))
    before, told = await importer.accounts(), await importer.told(AccountChanged.type)

    result = await importer.take(line("ann", name="Anna"), line("bob"), {}, dry_run=True, upsert=upsert)

    assert counts(result) == (1, int(upsert), int(not upsert), 1)
    assert (await importer.accounts(), await importer.told(AccountChanged.type)) == (before, told)


async def test_each_refused_line_is_told_with_what_to_correct_and_the_others_are_taken(importer: Importer) -> None:
    await importer.take(line("taken", username="taken"))
    result = await importer.take(
        b"no json\n",
        b"\n",
        line("ann", password_hash="md5"),
        line("ann", is_admin="yes"),
        line("ann", name="see www.example.com"),
        line("ann", password="secret"),
        line("ann", email="nobody"),
        line("ann", username="other@test.com"),
        line("ann", username="taken"),
        line("bob"),
        line("BOB"),
    )

    assert counts(result) == (1, 0, 0, 9)
    assert importer.said == [
        "1 is no JSON object in UTF-8",
        "3 password_hash: is of no format that docs/import.md names",
        "4 is_admin: Input should be a valid boolean",
        "5 name: must not contain www.",
        "6 password: Extra inputs are not permitted",
        "7 email: is no address that mail can be sent to",
        "8 username: looks like an address, and is not that of the account",
        "11 a line before has the same email or username",
        "9 another account has this email or username",
    ]


async def test_what_was_exported_with_hashes_can_be_imported(
    importer: Importer, users_app: UsersApp, databases: Databases
) -> None:
    given = [line("ann", username="ann", groups=["staff"], is_2fa=True), line("bob", email_verified=True)]
    await importer.take(*given, {**line("eve"), "password_hash": None})
    before = await importer.accounts()
    lines = [exported(row, with_hashes=True) for row in await everybody(users_app)]
    async with connected(databases.admin_url) as sql:
        await sql.execute("DELETE FROM users.accounts")

    assert counts(await importer.take(*(each.encode() for each in lines))) == (3, 0, 0, 0)

    differs = {"id", "email_verified_at", "modified_at"}
    for old, new in zip(before, await importer.accounts(), strict=True):
        same = set(old.keys()) - differs
        assert [old[name] for name in same] == [new[name] for name in same]
    assert all("password_hash" not in exported(row, with_hashes=False) for row in await everybody(users_app))
