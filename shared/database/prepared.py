"""A statement of SQLAlchemy Core that is compiled once, for what is asked at every login or refresh.

SQLAlchemy took longer over such a statement, each time anew, than Postgres takes to run it. So the driver gets it as it
was compiled; within a transaction that SQLAlchemy has begun it goes through SQLAlchemy, which has to begin it first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.pool import Database, leave

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Found(asyncpg.Record):  # type: ignore[misc] # the driver has no types
    """A row of the driver, whose columns are attributes too, as those of SQLAlchemy's rows are."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Prepared:
    """Values are given by the names of the parameters; what the driver makes of them is what Postgres gets."""

    def __init__(self, statement: Select[Any]) -> None:
        compiled = statement.compile(dialect=dialect())  # type: ignore[no-untyped-call] # SQLAlchemy has no types here
        self._statement = statement
        self._text = compiled.string
        # What was written into the statement as a value is a parameter too.
        self._order = [(name, compiled.params[name]) for name in compiled.positiontup or ()]

    async def one(self, connection: AsyncConnection, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The only row, or None. Raises `DBAPIError`, as SQLAlchemy does."""
        if connection.in_transaction():
            row = (await connection.execute(self._statement, values)).one_or_none()
            return row._mapping if row is not None else None  # noqa: SLF001 - SQLAlchemy's public name for it
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None  # noqa: S101 - of a connection that is open
        arguments = [values.get(name, written) for name, written in self._order]
        try:
            found: Mapping[str, Any] | None = await driver.fetchrow(self._text, *arguments)
        except _FAILURES as error:
            await leave(connection, error)
            lost = not isinstance(error, asyncpg.PostgresError)
            raise DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=lost) from error
        return found

    async def read(self, database: Database, values: Mapping[str, Any]) -> Sequence[Any]:
        """All rows of a mere read, which commits by itself. Raises what `Database.read` raises.

        What fails is asked once more by way of SQLAlchemy, which heals what can be healed and says what it was.
        """
        arguments = [values.get(name, written) for name, written in self._order]
        try:
            async with database.driver() as driver:
                rows: Sequence[Any] = await driver.fetch(self._text, *arguments, record_class=Found)
                return rows
        except (PoolExhausted, TimeoutError):  # who has waited for so long is not made to wait again
            raise
        except Exception:  # noqa: BLE001 - whatever it was, it is asked again, and fails with its own name if it has to
            return await database.read(self._statement, values)
