"""A Postgres that restarts, refuses, is full or read-only is "not now" and never a bug: shared.database.pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event, text
from sqlalchemy.exc import SQLAlchemyError

from deploy.standalone.postgres import EmbeddedPostgres
from shared.database import pool as database_module
from shared.database.pool import Database, is_transient
from tests.asking import client_of, problem, small_app
from tests.polling import eventually
from tests.servers.databases import Databases, connected
from tests.servers.postgres import NOT_DURABLE

CANARY = "canary-0123456789"
Make = Callable[..., Database]


@pytest.fixture
async def make(databases: Databases) -> AsyncIterator[Make]:
    """Makes pools on this test's database, as the role `auth`, and closes them."""
    made: list[Database] = []

    def make(url: str = databases.auth_url, **options: float) -> Database:
        made.append(Database(url, **{"pool_size": 2, "pool_timeout": 2.0} | options))  # type: ignore[arg-type] # int
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def ask(database: Database, statement: str = "SELECT 42", **values: object) -> object:
    async with database.transaction() as connection:
        result = await connection.execute(text(statement), values)
        return result.scalar() if result.returns_rows else None


async def refusal(database: Database, statement: str = "SELECT 42") -> Exception:
    with pytest.raises((SQLAlchemyError, OSError)) as refused:
        await ask(database, statement)
    return refused.value


async def on_admin(databases: Databases, statement: str) -> None:
    async with connected(databases.admin_url) as admin:
        await admin.execute(statement)


async def a_table(databases: Databases) -> None:
    """`kept`, whose rows the role `auth` may change."""
    await on_admin(databases, "CREATE TABLE auth.kept (value int); GRANT ALL ON auth.kept TO auth")


async def kill_backends(databases: Databases) -> None:
    async with connected(databases.admin_url) as admin:
        killed = await admin.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert killed


# --- transactions


async def test_a_transaction_commits_at_its_end_and_rolls_back_when_it_raises(databases: Databases, make: Make) -> None:
    database = make()
    await a_table(databases)
    await ask(database, "INSERT INTO kept VALUES (1)")

    async def insert_and_fail() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO kept VALUES (2)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await insert_and_fail()
    assert await ask(database, "SELECT sum(value) FROM kept") == 1


# --- a server that goes away and comes back


async def test_after_its_connections_were_killed_the_next_transaction_works(databases: Databases, make: Make) -> None:
    database = make()
    await asyncio.gather(ask(database, "SELECT pg_sleep(0)"), ask(database))
    await kill_backends(databases)
    assert set(await asyncio.gather(ask(database), ask(database))) == {42}


@pytest.mark.parametrize("idle", [True, False], ids=["after a rest", "in use a moment ago"])
async def test_after_its_connections_were_killed_a_statement_alone_and_a_read_work(
    databases: Databases, make: Make, monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    monkeypatch.setattr(database_module, "_TRUSTED", 0.0 if idle else 60.0)
    database, drivers = make(), list[asyncpg.Connection]()
    event.listen(database._engine.sync_engine, "connect", lambda adapted, _: drivers.append(adapted.driver_connection))
    await asyncio.gather(ask(database, "SELECT pg_sleep(0)"), ask(database))
    await kill_backends(databases)
    if not idle:  # then it goes by what the connection itself knows, and that comes with the next turn of the loop
        await eventually(lambda: all(driver.is_closed() for driver in drivers))

    async with database.statement() as connection:
        assert (await connection.execute(text("SELECT 42"))).scalar_one() == 42
    assert (await database.read(text("SELECT 42")))[0][0] == 42


async def test_connections_that_are_alive_are_kept_however_they_are_used(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_TRUSTED", 0.0)  # each statement alone asks first
    database, made = make(), list[object]()
    event.listen(database._engine.sync_engine, "connect", lambda *_: made.append(None))

    async def use_it() -> None:
        await ask(database)
        async with database.statement() as connection:
            await connection.execute(text("SELECT 42"))
        await database.read(text("SELECT 42"))

    for _ in range(5):
        await asyncio.gather(*(use_it() for _ in range(4)))

    assert len(made) <= 2  # as large as the pool is


async def test_a_connection_that_is_killed_in_the_middle_of_a_transaction_is_not_now(
    databases: Databases, make: Make
) -> None:
    database = make()

    async def interrupted() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            await kill_backends(databases)
            await connection.execute(text("SELECT 1"))

    with pytest.raises((SQLAlchemyError, OSError)) as lost:
        await interrupted()
    assert is_transient(lost.value), repr(lost.value)
    assert await ask(database) == 42


async def test_a_connection_that_is_killed_before_the_commit_is_not_now(databases: Databases, make: Make) -> None:
    database = make()

    async def interrupted() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            await kill_backends(databases)

    with pytest.raises((SQLAlchemyError, OSError)) as lost:
        await interrupted()
    assert is_transient(lost.value), repr(lost.value)
    assert await ask(database) == 42


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server that may be stopped, unlike the one that all tests share."""
    with TemporaryDirectory(prefix="login2fa-pg-") as folder:  # not pytest's: a socket's path has to be short
        postgres = EmbeddedPostgres(Path(folder), NOT_DURABLE)
        postgres.start()
        yield postgres
        postgres.stop()


async def test_while_postgres_restarts_it_is_not_now_and_afterwards_the_same_pool_works(
    own_postgres: EmbeddedPostgres, make: Make
) -> None:
    database = make(own_postgres.superuser_url())
    assert await ask(database) == 42

    await asyncio.to_thread(own_postgres.stop)
    for _ in range(2):  # the pooled connection, then a new one
        assert is_transient(await refusal(database))

    await asyncio.to_thread(own_postgres.start)
    assert await ask(database) == 42


# --- a server that refuses


async def test_an_exhausted_pool_is_not_now(make: Make) -> None:
    database = make(pool_size=1, pool_timeout=0.5)
    async with database.transaction():
        assert is_transient(await refusal(database))
    assert await ask(database) == 42


async def test_a_server_without_a_free_connection_is_not_now(databases: Databases, make: Make) -> None:
    await on_admin(databases, f"ALTER DATABASE {databases.name} CONNECTION LIMIT 0")
    assert is_transient(await refusal(make()))


async def test_a_read_only_server_is_not_now(databases: Databases, make: Make) -> None:
    await a_table(databases)
    await on_admin(databases, f"ALTER DATABASE {databases.name} SET default_transaction_read_only = on")
    assert is_transient(await refusal(make(), "INSERT INTO kept VALUES (1)"))


async def test_a_statement_that_takes_too_long_is_not_now(make: Make) -> None:
    database = make(command_timeout=0.1)
    assert is_transient(await refusal(database, "SELECT pg_sleep(30)"))
    assert await ask(database) == 42


@pytest.mark.parametrize("statement", ["SELECT 1/0", "SELEKT", "SELECT 'x'::int"])
async def test_a_mistake_of_ours_is_no_excuse_to_come_again(make: Make, statement: str) -> None:
    database = make()
    assert not is_transient(await refusal(database, statement))
    assert await ask(database) == 42


# --- what a client and a log see of it


def app_on(database: Database) -> FastAPI:
    app = small_app()

    @app.get("/")
    async def answer(statement: str = "SELECT 42") -> int:
        value = await ask(database, statement)
        assert isinstance(value, int)
        return value

    return app


def assert_not_now(answer: httpx.Response) -> None:
    problem(answer, 503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_each_of_these_is_answered_503_with_a_time_to_come_again(databases: Databases, make: Make) -> None:
    exhausted = make(pool_size=1, pool_timeout=0.5)
    async with exhausted.transaction(), client_of(app_on(exhausted)) as client:
        assert_not_now(await client.get("/"))

    slow = make(command_timeout=0.5)
    async with client_of(app_on(slow)) as client:
        assert_not_now(await client.get("/", params={"statement": "SELECT pg_sleep(30)"}))

    await on_admin(databases, f"ALTER DATABASE {databases.name} CONNECTION LIMIT 0")
    async with client_of(app_on(make())) as client:
        assert_not_now(await client.get("/"))

    await on_admin(databases, f"ALTER DATABASE {databases.name} CONNECTION LIMIT -1")
    await on_admin(databases, f"ALTER DATABASE {databases.name} SET default_transaction_read_only = on")
    async with client_of(app_on(make())) as client:
        assert_not_now(await client.get("/", params={"statement": "DELETE FROM outbox"}))


async def test_a_request_during_which_the_connection_is_killed_is_answered_503(
    databases: Databases, make: Make
) -> None:
    database = make()
    async with client_of(app_on(database)) as client:
        waiting = asyncio.create_task(client.get("/", params={"statement": "SELECT pg_sleep(30)"}))
        await eventually(lambda: sleeping(databases))
        await kill_backends(databases)
        assert_not_now(await waiting)
        assert (await client.get("/")).json() == 42


async def sleeping(databases: Databases) -> bool:
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    async with connected(databases.admin_url) as admin:
        return bool(await admin.fetchval(asleep))


async def test_the_text_of_an_error_does_not_hold_the_values_of_its_statement(make: Make) -> None:
    database = make()
    with pytest.raises(SQLAlchemyError) as refused:
        await ask(database, "SELECT :value || 1/0", value=CANARY)
    assert CANARY not in f"{refused.value} {refused.value!r}"
    assert "hide_parameters" in str(refused.value)
