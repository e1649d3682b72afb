"""One service's Postgres: a pool, and transactions that only the edge (a route, a handler) opens."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any
from weakref import WeakSet

from prometheus_client import Gauge, Histogram
from sqlalchemy import Executable, Row, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn

from shared.database.connect import engine
from shared.database.connections import RETURNED, Connections

_WAKE = "login2fa.wake_after_commit"
_AFTER = "login2fa.after_commit"

# Seconds after its last use for which the connection that is being checked out counts as alive; a read is tried again.
_TRUST: ContextVar[float] = ContextVar("trust", default=math.inf)

_PING = "SELECT 1"
_PING_SECONDS = 2.0

# For a single statement. Before a transaction there is always a ping: SQLAlchemy sends BEGIN with the first statement.
_TRUSTED = 0.1

# SQLSTATE classes and codes that mean "not now": connection, credentials (being changed), deadlock, resources, lock,
# operator intervention, the server's disk and files, read-only (failed-over) server, idle transaction, an operator's
# trigger, and a missing database, table, column or right: the migration is still to come.
_READ_ONLY = "25006"
_NOT_MIGRATED = ("3D000", "3F000", "42P01", "42703", "42501")
_UNAVAILABLE = ("08", "28", "40", "53", "55P03", "57", "58", "XX", _READ_ONLY, "25P03", "P0001", *_NOT_MIGRATED)


class CannotConnect(ConnectionError):
    """No connection to Postgres could be made; the cause says why."""


def is_transient(error: BaseException) -> bool:
    """Whether the database was unavailable, as opposed to refusing the statement."""
    if isinstance(error, PoolExhausted | TimeoutError | ConnectionError):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or sqlstate(error).startswith(_UNAVAILABLE) or _lost(error.orig)
    return isinstance(error, OSError)


def sqlstate(error: BaseException) -> str:
    """The server's error code; empty if the server did not answer."""
    said = getattr(error, "orig", None) or error
    # If the connection failed, only the cause has the code.
    codes = (getattr(each, "sqlstate", None) for each in (said, said.__cause__))
    return next((str(code) for code in codes if code), "")


def _discard_if_read_only(context: ExceptionContext) -> None:
    """A connection stays with one server: after a failover a pooled one would refuse writes for ever."""
    if sqlstate(context.original_exception) == _READ_ONLY:
        context.is_disconnect = True


def _needs_ping(connection: Any, record: Any) -> bool:
    returned = record.info.get(RETURNED)
    if returned is None:  # it is new
        return False
    return bool(time.monotonic() - returned >= _TRUST.get() or connection.driver_connection.is_closed())


def _lost(error: BaseException | None) -> bool:
    cause = error.__cause__ if error is not None else None
    return isinstance(cause, OSError | TimeoutError) or type(cause).__name__ in {
        "ConnectionDoesNotExistError",
        "InterfaceError",
        "InternalClientError",
    }


def wake_after_commit(connection: AsyncConnection) -> None:
    """Set `Database.committed` once this transaction has committed."""
    connection.info[_WAKE] = True


def after_commit(connection: AsyncConnection, call: Callable[[], None]) -> None:
    """Run `call` once this transaction has committed, never after a rollback. It must not fail."""
    connection.info.setdefault(_AFTER, []).append(call)


class Database:
    """`url` is an SQLAlchemy URL for asyncpg with the service's own role. `wake_after_commit` sets `committed`."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        pool_timeout: float = 3.0,
        command_timeout: float = 10.0,
        max_age: float = 1800.0,
    ) -> None:
        self.committed = asyncio.Event()
        self._turns = asyncio.Semaphore(pool_size)
        self._pool_timeout = pool_timeout
        self._engine = engine(
            url,
            timeout=pool_timeout,
            connect={"command_timeout": command_timeout},
            pool_size=pool_size,
            max_overflow=0,
            pool_use_lifo=True,  # the one used last has warm caches, as has its server process
            pool_timeout=pool_timeout,
            hide_parameters=True,  # an error's text must not contain a password hash
        )
        self._connections = Connections(self._engine, max_age)
        event.listen(self._engine.sync_engine, "handle_error", _discard_if_read_only)
        event.listen(self._engine.sync_engine, "checkout", self._pre_ping)
        self._autocommitting = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._wait = _wait()
        _ALL.add(self)

    @property
    def in_use(self) -> int:
        pool = self._engine.pool
        return pool.checkedout() if isinstance(pool, QueuePool) else 0

    def _pre_ping(self, connection: Any, record: Any, _proxy: Any) -> None:
        """Replace a dead connection: else the first use after a restart of Postgres fails."""
        if not _needs_ping(connection, record):
            return
        try:
            connection.run_async(lambda driver: driver.execute(_PING, timeout=_PING_SECONDS))
        except Exception as error:
            # If the server is frozen or cut off, SQLAlchemy would wait 2 s for the end of each connection.
            connection.driver_connection.terminate()
            self._connections.close_idle()
            raise InvalidatePoolError from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._notifying(self._checked_out(self._engine, trust=0)) as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """For one statement that commits by itself: saves two round trips. A second one commits separately."""
        async with self._notifying(self._checked_out(self._autocommitting, trust=_TRUSTED)) as connection:
            yield connection

    @asynccontextmanager
    async def _notifying(self, opened: AbstractAsyncContextManager[AsyncConnection]) -> AsyncIterator[AsyncConnection]:
        """Do what `wake_after_commit` and `after_commit` asked for, once `opened` has committed."""
        async with opened as connection:
            info = connection.info  # read now: on a lost connection it raises, and hides the loss
            try:
                yield connection
            finally:
                # `info` lives as long as the pooled connection: a leftover would run after another transaction.
                wake, calls = info.pop(_WAKE, False), info.pop(_AFTER, [])
        if wake:
            self.committed.set()
        for call in calls:
            call()

    @asynccontextmanager
    async def _checked_out(self, engine: AsyncEngine, *, trust: float) -> AsyncIterator[AsyncConnection]:
        """Raises `PoolExhausted` if no connection becomes free in time, `CannotConnect` if none can be made."""
        async with self._turn(), AsyncExitStack() as stack:
            before = _TRUST.set(trust)
            try:
                connection = await stack.enter_async_context(engine.connect())
            except Exception as error:
                if is_transient(error):
                    raise
                raise CannotConnect(type(error).__name__) from error  # never the fault of a request or event
            finally:
                _TRUST.reset(before)
            yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """First come, first served: SQLAlchemy's pool lets a new caller overtake those that wait."""
        if self._turns.locked():
            await self._wait_for_turn()
        else:
            await self._turns.acquire()  # at once
            self._wait.observe(0)
        try:
            yield
        finally:
            self._turns.release()

    async def _wait_for_turn(self) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._pool_timeout):
                await self._turns.acquire()
        except TimeoutError:
            raise PoolExhausted("no connection to Postgres became free in time") from None
        finally:
            self._wait.observe(time.perf_counter() - began)

    async def read(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """One statement that may be repeated, without BEGIN and COMMIT; repeated if its connection was dead."""
        try:
            return await self._read(statement, values)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return await self._read(statement, values)

    async def _read(self, statement: Executable, values: Mapping[str, Any] | None) -> Sequence[Row[Any]]:
        async with self._checked_out(self._autocommitting, trust=math.inf) as connection:
            return (await connection.execute(statement, values)).all()

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Any]:
        """The driver's own connection, outside transactions; closed on failure. Raises `PoolExhausted`."""
        async with self._turn():
            made = await self._engine.raw_connection()
            try:
                yield made.driver_connection
            except BaseException:
                await greenlet_spawn(made.invalidate)
                raise
            await greenlet_spawn(made.close)

    async def close(self) -> None:
        await self._engine.dispose()


# More than one where services share a process.
_ALL: WeakSet[Database] = WeakSet()


@cache
def _wait() -> Histogram:
    """Made with the first pool, as is the gauge: a process without one does not say 0."""
    in_use = Gauge("login2fa_database_in_use", "Connections to Postgres that are in use now.")
    in_use.set_function(lambda: sum(each.in_use for each in _ALL))
    return Histogram(
        "login2fa_database_wait_seconds",
        "Wait for a free connection to Postgres, up to the time-out of the pool.",
        buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    )
