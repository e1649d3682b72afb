"""Schema migrations: one Alembic history per schema, run by the role that owns it."""

from __future__ import annotations

import re
from pathlib import Path

from alembic import command, context, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from shared.database import connect
from shared.database.pool import sqlstate

# Any number that no other program uses in this database: with it replicas migrate one after the other.
_LOCK = 0x106142FA

_ANSWER_SECONDS = 30

# All requests for a table wait behind a statement that waits for its lock, or has it.
_PATIENCE = ("SET LOCAL lock_timeout = '5s'", "SET LOCAL statement_timeout = '60s'")
_IN_USE = "55P03"

_OWNED = "SELECT count(*) FROM pg_namespace WHERE nspname = :schema AND pg_get_userbyid(nspowner) = current_user"


class SchemaRefused(Exception):
    """Nothing was changed; the text tells the operator why."""


async def upgrade(url: str, scripts: Path, *, schema: str, revision: str = "head") -> None:
    """Migrate `schema` at `url` to `revision`; safe to repeat. Raises `SchemaRefused`."""
    engine = connect.engine(url, timeout=_ANSWER_SECONDS, poolclass=NullPool, hide_parameters=True)
    config = Config()
    config.set_main_option("script_location", str(scripts))
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            for limit in _PATIENCE:
                await connection.execute(text(limit))
            config.attributes["connection"] = connection.sync_connection
            await connection.run_sync(_refuse_foreign, schema, config)
            await connection.run_sync(lambda _: command.upgrade(config, revision))
    except DBAPIError as error:
        if sqlstate(error) != _IN_USE:
            raise
        raise SchemaRefused(
            f"A table of schema {schema} is in use, and was not free in time. Nothing was changed: run it again."
        ) from None
    finally:
        await engine.dispose()


def run_environment(metadata: MetaData) -> None:
    """For an `env.py` of Alembic: run in the transaction that `upgrade` has opened."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=metadata.schema,
        include_schemas=True,
        include_name=lambda name, kind, _parents: kind != "schema" or name == metadata.schema,
        compare_server_default=True,
        transaction_per_migration=False,
    )
    context.run_migrations()
    # The service's role, named like the schema, may write every new table; it must not write this one.
    role = metadata.schema
    connection.execute(text(f"REVOKE INSERT, UPDATE, DELETE ON {role}.alembic_version FROM {role}"))


def run_script(migration: str) -> None:
    """Run the `.sql` file beside the Python file `migration`. A statement ends with `;` at the end of a line."""
    for statement in _script(migration).split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def undo_script(migration: str) -> None:
    """Drop the tables that `run_script` has made."""
    for table in reversed(re.findall(r"^CREATE TABLE (\S+)", _script(migration), re.MULTILINE)):
        op.get_bind().exec_driver_sql(f"DROP TABLE {table}")


def _script(migration: str) -> str:
    return Path(migration).with_suffix(".sql").read_text()


def _refuse_foreign(connection: Connection, schema: str, config: Config) -> None:
    """The service's role could not use tables of an owner other than the schema's."""
    if not connection.scalar(text(_OWNED), {"schema": schema}):
        raise SchemaRefused(
            f"Schema {schema} does not belong to the role that migrates, which MIGRATOR_DATABASE_URL names:"
            " run `login2fa roles` first."
        )
    at = MigrationContext.configure(connection, opts={"version_table_schema": schema}).get_current_heads()
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    if unknown := sorted(set(at) - known):
        raise SchemaRefused(
            f"Schema {schema} is at revision {', '.join(unknown)}, which this version of Login2FA does not know:"
            " another version made it. Run that one, or begin with an empty database."
        )
