"""One service's Postgres: a pool, and transactions that only the edge opens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

_WAKE = "login2fa.wake_after_commit"
_AFTER = "login2fa.after_commit"

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
            pool_pre_ping=True,  # without it the first use after a restart of Postgres fails
            hide_parameters=True,  # an error's text must not hold a password hash
            connect_args={"timeout": pool_timeout, "command_timeout": command_timeout},
        )
        event.listen(self._engine.sync_engine, "handle_error", _leave_if_read_only)
        self._autocommitting = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: commits at the end of the block, rolls back when it raises."""
        async with self._told_after(self._engine.begin()) as connection:
            yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """For one statement, which is a transaction by itself: two round trips fewer. A second one commits apart."""
        async with self._told_after(self._autocommitting.connect()) as connection:
            yield connection

    @asynccontextmanager
    async def _told_after(self, opened: AbstractAsyncContextManager[AsyncConnection]) -> AsyncIterator[AsyncConnection]:
        """What was asked for with `wake_after_commit` and `after_commit` is done once `opened` has committed."""
        wake = False
        calls: list[Callable[[], None]] = []
        async with opened as connection:
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

    async def reachable(self) -> bool:
        try:
            async with asyncio.timeout(2), self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except Exception as error:
            if unavailable(error):
                return False
            raise
        return True

    async def close(self) -> None:
        await self._engine.dispose()
