"""Ready is a database that has every table and column that this version reads, and lets it read them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.auth import tables as auth
from services.users import tables as users
from shared.database import Database
from shared.schema import Schema
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
