"""One service's Postgres: a pool, and transactions that only the edge opens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Executable, Row, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

_WAKE = "login2fa.wake_after_commit"
_AFTER = "login2fa.after_commit"

# Whether the connection that is being taken from the pool is for a transaction.
_BEGINS: ContextVar[bool] = ContextVar("begins", default=False)

# SQLSTATE classes and codes that say "not now": connection failures; refused credentials, which are being changed;
# deadlocks; resources; a lock that was not to be had; operator intervention; the server's disk and files; a read-only
# (failed-over) server; a transaction that stood still for too long; what only an operator's trigger raises.
_READ_ONLY = "25006"
_UNAVAILABLE = ("08", "28", "40", "53", "55P03", "57", "58", "XX", _READ_ONLY, "25P03", "P0001")


def unavailable(error: BaseException) -> bool:
    """Whether the database could not be asked at this moment, as opposed to having said no."""
    if isinstance(error, PoolExhausted | TimeoutError | ConnectionError):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or sqlstate(error).startswith(_UNAVAILABLE) or _lost(error.orig)
    return isinstance(error, OSError)


def sqlstate(error: BaseException) -> str:
    """The server's own code for it; empty where the server has said nothing."""
    said = getattr(error, "orig", None) or error
    # Of a connection that could not be made, only the cause has it.
    codes = (getattr(each, "sqlstate", None) for each in (said, said.__cause__))
    return next((str(code) for code in codes if code), "")


def _leave_if_read_only(context: ExceptionContext) -> None:
    """A connection knows only the server that it was made to: kept, it would refuse to write for ever."""
    if sqlstate(context.original_exception) == _READ_ONLY:
        context.is_disconnect = True


def _begin(connection: Any, _record: Any, _proxy: Any) -> None:
    """Begins at once what SQLAlchemy would begin with the first statement: so BEGIN tells whether the server is there.

    Without this the first use after a restart of Postgres fails. With `pool_pre_ping` each use waits for two more
    answers. The pool makes a new connection in place of one that is refused here.
    """
    if not _BEGINS.get():
        return
    try:
        connection.run_async(lambda _: connection._start_transaction())  # noqa: SLF001 - there is no public way to it
    except TimeoutError:
        raise
    except Exception as error:
        raise InvalidatePoolError from error


def _lost(error: BaseException | None) -> bool:
    cause = error.__cause__ if error is not None else None
    return isinstance(cause, OSError | TimeoutError) or type(cause).__name__ in {
        "ConnectionDoesNotExistError",
        "InterfaceError",
        "InternalClientError",
    }


def wake_after_commit(connection: AsyncConnection) -> None:
    """Ask that `Database.committed` be set once this transaction has committed."""
    connection.info[_WAKE] = True


def after_commit(connection: AsyncConnection, call: Callable[[], None]) -> None:
    """To be called once this transaction has committed; never, if it is rolled back. It must not fail."""
    connection.info.setdefault(_AFTER, []).append(call)


class Database:
    """`url` is an SQLAlchemy URL of the driver asyncpg, with the service's own role.

    `committed` is set after each commit that wrote to the outbox.
    """

    def __init__(
        self, url: str, *, pool_size: int = 10, pool_timeout: float = 3.0, command_timeout: float = 10.0
    ) -> None:
        self.committed = asyncio.Event()
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout,
            hide_parameters=True,  # an error's text must not hold a password hash
            connect_args={"timeout": pool_timeout, "command_timeout": command_timeout},
        )
        event.listen(self._engine.sync_engine, "handle_error", _leave_if_read_only)
        event.listen(self._engine.sync_engine, "checkout", _begin)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: commits at the end of the block, rolls back when it raises."""
        wake = False
        calls: list[Callable[[], None]] = []
        async with self._begun() as connection:
            info = connection.info  # now: of a connection that got lost it can't be had, and the loss would be masked
            try:
                yield connection
            finally:
                # `info` lives as long as the pooled connection: a leftover would wake for a stranger.
                wake = info.pop(_WAKE, False)
                calls = info.pop(_AFTER, [])
        if wake:
            self.committed.set()
        for call in calls:
            call()

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[AsyncConnection]:
        begins = _BEGINS.set(True)
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._engine.connect())
            finally:
                _BEGINS.reset(begins)
            await stack.enter_async_context(connection.begin())
            yield connection

    async def read(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """One statement that only reads: it commits by itself, so that no BEGIN and no COMMIT are waited for.

        Of a connection that had died meanwhile it is asked once more.
        """
        try:
            return await self._read(statement, values)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return await self._read(statement, values)

    async def _read(self, statement: Executable, values: Mapping[str, Any] | None) -> Sequence[Row[Any]]:
        async with self._reading.connect() as connection:
            return (await connection.execute(statement, values)).all()

    async def reachable(self) -> bool:
        try:
            async with asyncio.timeout(2):
                await self.read(text("SELECT 1"))
        except Exception as error:
            if unavailable(error):
                return False
            raise
        return True

    async def close(self) -> None:
        await self._engine.dispose()
