"""Ready is a database that has every table and column that this version reads; one that is not says 'not now'."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from services.auth import tables as auth
from services.users import tables as users
from shared.database.pool import Database, is_transient
from shared.database.schema import Schema
from tests.servers.databases import Databases, connected


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    database = Database(databases.auth_url, pool_size=1)
    yield database
    await database.close()


async def test_a_migrated_schema_is_ready(database: Database, databases: Databases) -> None:
    assert await Schema(database, auth.metadata).is_ready()
    of_users = Database(databases.users_url, pool_size=1)
    assert await Schema(of_users, users.metadata).is_ready()
    await of_users.close()


@pytest.mark.parametrize(
    ("damage", "mended"),
    [
        ("ALTER TABLE auth.sessions RENAME TO later", "ALTER TABLE auth.later RENAME TO sessions"),
        (
            "ALTER TABLE auth.sessions RENAME COLUMN ended_at TO later",
            "ALTER TABLE auth.sessions RENAME COLUMN later TO ended_at",
        ),
        ("REVOKE SELECT ON auth.sessions FROM auth", "GRANT SELECT ON auth.sessions TO auth"),
        ("REVOKE USAGE ON SCHEMA auth FROM auth", "GRANT USAGE ON SCHEMA auth TO auth"),
    ],
)
async def test_one_that_lacks_a_table_a_column_or_a_right_is_not_and_is_as_soon_as_it_has_it(
    database: Database, databases: Databases, damage: str, mended: str
) -> None:
    schema = Schema(database, auth.metadata)
    assert await schema.is_ready()
    async with connected(databases.admin_url) as admin:
        await admin.execute(damage)
        assert not await schema.is_ready()

        await admin.execute(mended)
    assert await schema.is_ready()


async def test_one_that_can_not_be_reached_is_not_ready() -> None:
    database = Database("postgresql+asyncpg://nobody:secret@127.0.0.1:1/none")
    assert not await Schema(database, auth.metadata).is_ready()
    await database.close()


async def refusal(database: Database, statement: str = "SELECT 1") -> Exception:
    with pytest.raises((SQLAlchemyError, OSError)) as refused:
        async with database.transaction() as connection:
            await connection.execute(text(statement))
    return refused.value


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM nowhere", "SELECT nothing FROM outbox", "SELECT * FROM users.accounts"]
)
async def test_what_a_schema_lacks_is_not_now(database: Database, statement: str) -> None:
    assert is_transient(await refusal(database, statement))


@pytest.mark.parametrize(
    "changes",
    [
        {"database": "nowhere"},
        {"password": "not it"},
        {"username": "nobody"},
        {"host": "nowhere.invalid", "query": {}},
        {"host": "/nowhere", "query": {}},
        {"host": "a" * 64, "query": {}},  # no name of a host is so long: an error of its own
    ],
)
async def test_whatever_prevents_a_connection_is_not_now(databases: Databases, changes: dict[str, Any]) -> None:
    url = make_url(databases.auth_url).set(**changes)
    database = Database(url.render_as_string(hide_password=False))

    assert is_transient(await refusal(database))
    assert not await Schema(database, auth.metadata).is_ready()
    await database.close()
