"""More ask for a connection to Postgres than there are: shared.database.pool."""

from __future__ import annotations

import asyncio

from shared.database.pool import Database
from tests.metrics import sample
from tests.servers.databases import Databases


async def test_who_waits_is_served_before_whoever_comes_later(databases: Databases) -> None:
    database, served = Database(databases.auth_url, pool_size=1), list[str]()

    async def use(name: str) -> None:
        async with database.statement():
            served.append(name)

    async with database.statement():
        waiting = [asyncio.create_task(use(name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0)  # one turn of the loop, in which they ask
    await use("late")  # at the very moment at which it is free again
    await asyncio.gather(*waiting)

    assert served == ["first", "second", "third", "late"]
    await database.close()


async def test_who_gives_up_waiting_takes_nobody_s_turn(databases: Databases) -> None:
    database = Database(databases.auth_url, pool_size=1)

    async def use() -> bool:
        async with database.statement():
            return True

    async with database.statement():
        gone, stays = asyncio.create_task(use()), asyncio.create_task(use())
        await asyncio.sleep(0)  # one turn of the loop, in which they ask
        gone.cancel()
    assert await stays
    assert await use()
    await database.close()


async def test_a_read_of_the_driver_s_own_waits_its_turn_too(databases: Databases) -> None:
    database, served = Database(databases.auth_url, pool_size=1), list[str]()

    async def use() -> None:
        async with database.statement():
            served.append("first")

    async with database.statement():
        waiting = asyncio.create_task(use())
        await asyncio.sleep(0)  # one turn of the loop, in which they ask
    async with database.driver():
        served.append("late")
    await waiting

    assert served == ["first", "late"]
    await database.close()


async def test_the_metrics_tell_how_many_connections_are_in_use_and_how_long_one_was_waited_for(
    databases: Databases,
) -> None:
    database = Database(databases.auth_url, pool_size=1)
    in_use, waits, waited = (
        sample(f"database_{name}") for name in ("in_use", "wait_seconds_count", "wait_seconds_sum")
    )

    async def use() -> None:
        async with database.statement():
            pass

    async with database.statement():
        assert sample("database_in_use") == in_use + 1
        assert sample("database_wait_seconds_sum") == waited  # it was free
        waiting = asyncio.create_task(use())
        await asyncio.sleep(0)  # one turn of the loop, in which it asks
    await waiting
    assert sample("database_in_use") == in_use
    assert sample("database_wait_seconds_count") == waits + 2
    assert sample("database_wait_seconds_sum") > waited
    await database.close()
