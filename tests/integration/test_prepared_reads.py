"""A read by the driver alone heals and refuses as the one by way of SQLAlchemy does: shared.database.prepared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import ARRAY, Integer, bindparam, event, func, literal, select
from sqlalchemy.exc import SQLAlchemyError

from shared.database.pool import Database, is_transient
from shared.database.prepared import Prepared
from tests.servers.databases import Databases, connected

Make = Callable[..., Database]

NUMBERS = Prepared(select(func.unnest(bindparam("numbers", type_=ARRAY(Integer))).label("number")))
SLEEP = Prepared(select(func.pg_sleep(bindparam("seconds"))))
MISTAKE = Prepared(select(literal(1) / bindparam("zero", type_=Integer)))


@pytest.fixture
async def make(databases: Databases) -> AsyncIterator[Make]:
    made: list[Database] = []

    def make(**options: Any) -> Database:
        made.append(Database(databases.auth_url, **{"pool_size": 2, "pool_timeout": 2.0} | options))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def numbers(database: Database) -> list[int]:
    return [row.number for row in await NUMBERS.run(database, {"numbers": [1, 2, 3]})]


async def refusal(database: Database, prepared: Prepared, **values: Any) -> Exception:
    with pytest.raises((SQLAlchemyError, OSError)) as refused:
        await prepared.run(database, values)
    return refused.value


async def test_a_column_is_an_attribute_of_its_row_and_nothing_else_is(make: Make) -> None:
    (row,) = await NUMBERS.run(make(), {"numbers": [7]})

    assert row.number == 7
    assert not hasattr(row, "nothing")


async def test_a_read_asks_once_and_keeps_its_connection(make: Make) -> None:
    database, made, long_way = make(), list[object](), list[object]()
    event.listen(database._engine.sync_engine, "connect", lambda *_: made.append(None))
    event.listen(database._engine.sync_engine, "before_cursor_execute", lambda *_: long_way.append(None))

    for _ in range(5):
        assert await asyncio.gather(*(numbers(database) for _ in range(4))) == [[1, 2, 3]] * 4

    assert len(made) <= 2  # as large as the pool is
    assert long_way == []


async def test_after_its_connections_were_killed_a_read_works(databases: Databases, make: Make) -> None:
    database = make()
    await asyncio.gather(numbers(database), numbers(database))
    async with connected(databases.admin_url) as admin:
        assert await admin.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert await asyncio.gather(*(numbers(database) for _ in range(4))) == [[1, 2, 3]] * 4


async def test_an_exhausted_pool_is_not_now(make: Make) -> None:
    database = make(pool_size=1, pool_timeout=0.5)
    async with database.transaction():
        assert is_transient(await refusal(database, NUMBERS, numbers=[1]))
    assert await numbers(database) == [1, 2, 3]


async def test_a_server_without_a_free_connection_is_not_now(databases: Databases, make: Make) -> None:
    async with connected(databases.admin_url) as admin:
        await admin.execute(f"ALTER DATABASE {databases.name} CONNECTION LIMIT 0")
    assert is_transient(await refusal(make(), NUMBERS, numbers=[1]))


async def test_a_read_that_takes_too_long_is_not_now_and_neither_it_nor_its_connection_is_tried_again(
    make: Make,
) -> None:
    database, made, long_way = make(pool_size=1, command_timeout=0.5), list[object](), list[object]()
    event.listen(database._engine.sync_engine, "connect", lambda *_: made.append(None))
    event.listen(database._engine.sync_engine, "before_cursor_execute", lambda *_: long_way.append(None))

    assert is_transient(await refusal(database, SLEEP, seconds=30))
    assert (len(made), long_way) == (1, [])
    assert await numbers(database) == [1, 2, 3]
    assert len(made) == 2


async def test_a_mistake_of_ours_is_no_excuse_to_come_again(make: Make) -> None:
    database = make()
    assert not is_transient(await refusal(database, MISTAKE, zero=0))
    assert await numbers(database) == [1, 2, 3]
