"""Schema migrations: one Alembic history per schema, each run with its service's own role."""

from __future__ import annotations

from pathlib import Path

from alembic import command, context
from alembic.config import Config
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# Any number will do, as long as no other program of this database takes it: replicas migrate one after the other.
_LOCK = 0x106142FA


async def upgrade(url: str, scripts: Path, revision: str = "head") -> None:
    """Bring the schema at `url` to `revision`; what has been done is not done again."""
    engine = create_async_engine(url, poolclass=NullPool, hide_parameters=True)
    config = Config()
    config.set_main_option("script_location", str(scripts))
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection.sync_connection
            await connection.run_sync(lambda _: command.upgrade(config, revision))
    finally:
        await engine.dispose()


def run_environment(metadata: MetaData) -> None:
    """What an `env.py` of Alembic does: run within the transaction that `upgrade` has opened."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        version_table_schema=metadata.schema,
        include_schemas=True,
        include_name=lambda name, kind, _parents: kind != "schema" or name == metadata.schema,
        compare_server_default=True,
        transaction_per_migration=False,
    )
    context.run_migrations()
