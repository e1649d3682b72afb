"""One address of a database in each way that PostgreSQL's programs and SQLAlchemy write it: shared.configuration."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url, text

from shared.database.pool import Database
from tests.servers.databases import Databases


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_a_database_is_reached_by_each_of_its_names(databases: Databases, scheme: str) -> None:
    url = make_url(databases.auth_url).set(drivername=scheme).render_as_string(hide_password=False)
    database = Database(url, pool_size=1)
    try:
        async with database.statement() as connection:
            assert await connection.scalar(text("SELECT current_user")) == "auth"
    finally:
        await database.close()
