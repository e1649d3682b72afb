"""The outbox of auth in memory: rows, row locks, commit and rollback, as far as the relay asks Postgres.

tests/model/test_outbox_rows.py holds it and Postgres to the same requirements.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import ClauseElement, Delete, Insert, Select

from shared.database.pool import Database
from shared.messaging.relay import BY_INDEX

# Each with the parameter of `shared.messaging.outbox.event_params` that holds it of all events.
_COLUMNS = {
    "event_ids": "event_id",
    "event_types": "type",
    "event_bodies": "body",
    "correlation_ids": "correlation_id",
    "traceparents": "traceparent",
}


class ConnectionLost(Exception):
    """Postgres ended the connection: what its transaction did has not been."""


@dataclass(eq=False)
class Rows:
    """What is committed, and who has locked what; `now` is the database's clock."""

    now: Callable[[], datetime]
    committed: dict[int, SimpleNamespace] = field(default_factory=dict)
    open: list[Transaction] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def locked(self) -> set[int]:
        return {row for transaction in self.open for row in transaction.locks}


class Transaction:
    """Looks like SQLAlchemy's connection to who executes something in it."""

    def __init__(self, rows: Rows) -> None:
        self.info: dict[str, object] = {}
        self.locks: dict[int, SimpleNamespace] = {}
        self.lost = False
        self._rows = rows
        self._inserted: dict[int, SimpleNamespace] = {}
        self._deleted: set[int] = set()

    async def execute(
        self, statement: ClauseElement, values: Mapping[str, Sequence[object]] | None = None
    ) -> SimpleNamespace:
        self._check()
        if statement is BY_INDEX:
            return SimpleNamespace()  # a plan changes no answer
        match statement:
            case Insert():
                assert values is not None, "events are given beside the statement"
                self._insert(values)
                return SimpleNamespace()
            case Select():
                lock, limit = statement._for_update_arg, statement._limit_clause
                assert lock is None or lock.skip_locked, "a claim that waits for another's locks is not modelled"
                return self._select(cast("Any", limit).value, locks=lock is not None)
            case Delete():
                assert values is not None, "rows are named beside the statement"
                (ids,) = values.values()
                self._deleted.update(cast("Sequence[int]", ids))
                return SimpleNamespace(rowcount=len(ids))
        raise AssertionError(f"nobody has taught the model this statement: {statement}")

    def _insert(self, values: Mapping[str, Sequence[object]]) -> None:
        for event in zip(*(values[each] for each in _COLUMNS), strict=True):
            number = next(self._rows.numbers)
            columns = dict(zip(_COLUMNS.values(), event, strict=True))
            self._inserted[number] = SimpleNamespace(id=number, created_at=self._rows.now(), **columns)

    def _select(self, limit: int, *, locks: bool) -> SimpleNamespace:
        locked = self._rows.locked if locks else set()
        found = [row for number, row in sorted(self._rows.committed.items()) if number not in locked][:limit]
        for row in found:
            row.age, row.claimed_at = (self._rows.now() - row.created_at).total_seconds(), self._rows.now()
        if locks:
            self.locks.update({row.id: row for row in found})
        return SimpleNamespace(all=lambda: found)

    def _check(self) -> None:
        if self.lost:
            raise ConnectionLost("connection lost")

    def commit(self) -> None:
        self._check()
        self._rows.committed.update(self._inserted)
        for number in self._deleted:
            self._rows.committed.pop(number, None)


class MemoryDatabase(Database):
    """One process's pool. `lose_connections` ends every transaction that is open in it."""

    def __init__(self, rows: Rows) -> None:
        self.committed = asyncio.Event()
        self._rows = rows
        self._open: list[Transaction] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        transaction = Transaction(self._rows)
        self._rows.open.append(transaction)
        self._open.append(transaction)
        try:
            yield cast("AsyncConnection", transaction)
            transaction.commit()
        finally:
            self._end(transaction)
        if transaction.info:
            self.committed.set()

    def _end(self, transaction: Transaction) -> None:
        if not transaction.lost:
            self._rows.open.remove(transaction)
            self._open.remove(transaction)

    def lose_connections(self) -> list[SimpleNamespace]:
        """The rows that were claimed."""
        lost = list(self._open)
        for transaction in lost:
            self._end(transaction)
            transaction.lost = True
        return [row for transaction in lost for row in transaction.locks.values()]
