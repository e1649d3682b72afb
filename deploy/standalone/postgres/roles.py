"""The application's database, roles and schemas: the same roles.sql as in every other deployment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from deploy.standalone.postgres.server import EmbeddedPostgres

ROLES = Path(__file__).parents[2] / "postgres" / "roles.sql"


async def prepare(
    postgres: EmbeddedPostgres, database: str = "login2fa", *, auth_password: str, users_password: str
) -> None:
    """Create `database`, its roles and schemas in a started server, or bring them up to date."""
    async with _superuser(postgres, "postgres") as admin:
        await create_database(admin, database)
    async with _superuser(postgres, database) as admin:
        await create_roles(admin, auth_password=auth_password, users_password=users_password)


@asynccontextmanager
async def _superuser(postgres: EmbeddedPostgres, database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**postgres.superuser_parameters(database))
    try:
        yield connection
    finally:
        await connection.close()


async def create_database(admin: asyncpg.Connection, database: str) -> None:
    """Create `database` unless it is there; `admin` is connected to another one."""
    if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
        name = await admin.fetchval("SELECT quote_ident($1)", database)
        await admin.execute(f"CREATE DATABASE {name}")


async def create_roles(admin: asyncpg.Connection, *, auth_password: str, users_password: str) -> None:
    """Run roles.sql in the database that `admin`, an administrator, is connected to.

    After an error the connection is left in a failed transaction: close it.
    """
    await admin.execute(
        "SELECT set_config('login2fa.auth_password', $1, false), set_config('login2fa.users_password', $2, false)",
        auth_password,
        users_password,
    )
    await admin.execute(ROLES.read_text(encoding="utf-8"))
