"""The schemas that migrations make are those that the code describes; running them again, or at once, is harmless."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, Table, Text, event, inspect
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import Column

import services.migrate
from services.auth import tables as auth_tables
from services.migrate import migrate
from services.users import tables as users_tables
from shared.database import migrations
from shared.database.migrations import SchemaRefused
from tests.servers.databases import Databases, connected

Service = Literal["auth", "users"]
METADATA = {"auth": auth_tables.metadata, "users": users_tables.metadata}
each_service = pytest.mark.parametrize("service", ["auth", "users"])


# That a statement can be repeated: each migration is one transaction. And how many rows we expect in our own tables.
UNHEEDED = "prefer-robust-stmts,prefer-bigint-over-int,prefer-bigint-over-smallint"


async def empty(databases: Databases, service: Service) -> None:
    """As before the first migration."""
    async with connected(databases.migrator_url) as owner:
        for table in await tables(databases, service):
            await owner.execute(f'DROP TABLE {service}."{table}" CASCADE')
    assert await tables(databases, service) == set()


async def tables(databases: Databases, service: Service) -> set[str]:
    async with connected(databases.admin_url) as admin:
        rows = await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", service)
    return {row["tablename"] for row in rows}


def differences(connection: Connection, metadata: MetaData) -> list[object]:
    """What Alembic would write into a next migration."""
    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": lambda name, kind, _parents: kind != "schema" or name == metadata.schema,
            "version_table_schema": metadata.schema,
            "compare_type": True,
            "compare_server_default": True,
        },
    )
    return list(compare_metadata(context, metadata))


async def compared(databases: Databases, service: Service, metadata: MetaData) -> list[object]:
    # The role's own schema is its default one, and Alembic would compare its tables under no schema at all.
    elsewhere = {"server_settings": {"search_path": "pg_catalog"}}
    engine = create_async_engine(databases.url_of(service), poolclass=NullPool, connect_args=elsewhere)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences, metadata)
    await engine.dispose()
    return found


@each_service
async def test_the_tables_of_the_code_are_those_that_migrations_make(databases: Databases, service: Service) -> None:
    assert await compared(databases, service, METADATA[service]) == []


@each_service
async def test_the_comparison_would_see_a_difference(databases: Databases, service: Service) -> None:
    changed = MetaData(schema=service)
    for table in METADATA[service].tables.values():
        table.to_metadata(changed)
    outbox = changed.tables[f"{service}.outbox"]
    outbox.append_column(Column("added", Text))
    Table("added", changed, Column("id", Text, primary_key=True))

    assert len(await compared(databases, service, changed)) == 2


@each_service
async def test_migrations_make_everything_from_nothing(databases: Databases, service: Service) -> None:
    before = await tables(databases, service)
    await empty(databases, service)

    await migrate(service, databases.migrator_url)

    assert await tables(databases, service) == before
    assert before == {*(table.name for table in METADATA[service].tables.values()), "alembic_version"}


@each_service
async def test_running_migrations_twice_changes_nothing(databases: Databases, service: Service) -> None:
    async with connected(databases.migrator_url) as owner:
        await owner.execute(
            f"INSERT INTO {service}.outbox (event_id, type, body, correlation_id)"
            " VALUES (gen_random_uuid(), 't', 'b', 'c')"
        )
        for _ in range(2):
            await migrate(service, databases.migrator_url)
        assert await owner.fetchval(f"SELECT count(*) FROM {service}.outbox") == 1
        assert await owner.fetchval(f"SELECT count(*) FROM {service}.alembic_version") == 1


@each_service
async def test_replicas_that_start_together_migrate_one_after_the_other(databases: Databases, service: Service) -> None:
    await empty(databases, service)
    await asyncio.gather(*(migrate(service, databases.migrator_url) for _ in range(4)))
    assert "outbox" in await tables(databases, service)
    async with connected(databases.migrator_url) as owner:
        assert await owner.fetchval(f"SELECT count(*) FROM {service}.alembic_version") == 1


@each_service
async def test_a_migration_that_fails_leaves_nothing_behind(databases: Databases, service: Service) -> None:
    await empty(databases, service)
    async with connected(databases.migrator_url) as owner:
        await owner.execute(f"CREATE TABLE {service}.outbox ()")  # in the way of the real one

        with pytest.raises(ProgrammingError, match='relation "outbox" already exists'):
            await migrate(service, databases.migrator_url)

        assert await tables(databases, service) == {"outbox"}


@contextmanager
def captured() -> Iterator[list[str]]:
    """The statements that change a schema or a setting, as they are sent to Postgres."""
    sent: list[str] = []

    def keep(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        bare = re.sub(r"--[^\n]*", "", statement).strip()
        # Alembic's own table is made before there is anything to wait for.
        if bare.startswith(("ALTER ", "COMMENT ", "CREATE ", "DROP ", "SET ")) and "alembic_version" not in bare:
            sent.append(f"{bare};")

    event.listen(Engine, "before_cursor_execute", keep)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", keep)


def complaints(*statements: str) -> str:
    """Those of squawk: of what stops the running version, or locks its tables for long."""
    squawk = Path(sysconfig.get_path("scripts")) / "squawk"
    options = ["--assume-in-transaction", f"--exclude={UNHEEDED}", "--reporter=gcc"]
    ran = subprocess.run([squawk, *options], input="\n".join(statements), capture_output=True, text=True, check=False)
    assert ran.returncode in {0, 1}, ran.stderr
    return ran.stdout + ran.stderr if ran.returncode else ""


@each_service
async def test_no_migration_harms_the_version_that_still_runs(databases: Databases, service: Service) -> None:
    await empty(databases, service)
    with captured() as sent:
        await migrate(service, databases.migrator_url)
    assert f"CREATE TABLE {service}.outbox" in "".join(sent)

    assert complaints(*sent) == ""


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER TABLE auth.outbox ADD COLUMN added TEXT NOT NULL",
        "ALTER TABLE auth.outbox DROP COLUMN body",
        "ALTER TABLE auth.outbox RENAME COLUMN body TO text",
        "CREATE INDEX added ON auth.outbox (type)",
    ],
)
def test_one_that_would_is_found(harm: str) -> None:
    assert complaints(*migrations._PATIENCE, harm)  # without these two every statement is found


async def test_a_migration_does_not_wait_for_long_for_a_table_that_is_in_use(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_PATIENCE", ("SET LOCAL lock_timeout = '50ms'",))
    async with connected(databases.migrator_url) as owner, owner.transaction():
        await owner.execute("LOCK TABLE auth.alembic_version IN ACCESS EXCLUSIVE MODE")

        with pytest.raises(SchemaRefused, match="Nothing was changed: run it again"):
            await migrate("auth", databases.migrator_url)


@each_service
async def test_the_last_migration_can_be_taken_back(databases: Databases, service: Service) -> None:
    engine = create_async_engine(databases.migrator_url, poolclass=NullPool)

    def downgrade(connection: Connection) -> None:
        config = configuration(service)
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    async with engine.begin() as connection:
        await connection.run_sync(downgrade)
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names(schema=service))
    await engine.dispose()
    assert names == ["alembic_version"]


@each_service
def test_the_history_is_one_line(service: Service) -> None:
    history = ScriptDirectory.from_config(configuration(service))
    assert len(history.get_heads()) == len(history.get_bases()) == 1


def configuration(service: Service) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(services.migrate.__file__).parent / service / "migrations"))
    return config
