"""Several servers in one database URL, and connections that end at an age: shared.database.connect and connections."""

from __future__ import annotations

import socket

from sqlalchemy import make_url, text

from shared.database.pool import Database
from tests.polling import eventually
from tests.servers.databases import Databases, connected


def behind(url: str, port: int) -> str:
    """The URL `url`, after a server at `port`."""
    known = make_url(url)
    host, behind = known.query.get("host", known.host), known.query.get("port", known.port)
    changed = known.set(host=None, port=None, query={"host": f"127.0.0.1,{host}", "port": f"{port},{behind}"})
    return changed.render_as_string(hide_password=False)


async def test_a_server_that_accepts_and_says_nothing_leaves_time_for_the_next(databases: Databases) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # the system accepts, and nobody answers
        url = behind(databases.auth_url, frozen.getsockname()[1])
        database = Database(url, pool_size=1, pool_timeout=1.0)
        async with database.statement() as connection:
            assert await connection.scalar(text("SELECT current_user")) == "auth"
        await database.close()


async def test_a_connection_ends_at_its_age_though_nobody_asks_for_it(databases: Databases) -> None:
    database = Database(databases.auth_url, pool_size=2, max_age=0.2)

    async def closed() -> bool:
        async with connected(databases.admin_url) as admin:
            return not await admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'auth'"
            )

    async with database.transaction() as connection:  # one that is in use ends when it is returned
        await connection.execute(text("SELECT pg_sleep(0.3)"))
        await connection.execute(text("SELECT 1"))
    await eventually(closed)
    async with database.transaction() as connection:
        await connection.execute(text("SELECT 1"))
    await eventually(closed)
    await database.close()
