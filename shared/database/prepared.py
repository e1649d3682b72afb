"""A read that goes past SQLAlchemy: compiled once, and run by the driver.

SQLAlchemy takes longer over such a statement than Postgres takes to answer it: `verify-token`, `forward` and `me` of
`make bench` are about a tenth faster for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.exc import TimeoutError as PoolExhausted

from shared.database.pool import Database


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
