"""Creates or updates the application's database in the embedded server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg

from deploy.postgres.roles import create_database, create_roles
from deploy.standalone.postgres.server import EmbeddedPostgres


async def prepare(postgres: EmbeddedPostgres, passwords: Mapping[str, str], database: str = "login2fa") -> None:
    async with _superuser(postgres, "postgres") as admin:
        await create_database(admin, database)
    async with _superuser(postgres, database) as admin:
        await create_roles(admin, passwords)


@asynccontextmanager
async def _superuser(postgres: EmbeddedPostgres, database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**postgres.superuser_parameters(database))
    try:
        yield connection
    finally:
        await connection.close()
