"""A limit on failures per hour and key. Attempts in flight hold slots, so concurrent ones do not exceed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Select,
    Table,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import array, insert
from sqlalchemy.sql.dml import ReturningInsert

_HOUR = timedelta(hours=1)
# Frees the slots of a process that died.
_LEASE = timedelta(minutes=1)

FIRST_SLOT: Mapping[str, ColumnElement[Any]] = {"in_flight": literal(1), "in_flight_until": func.now() + _LEASE}


@dataclass(frozen=True, slots=True)
class HourlyLimit:
    """`key`: the primary key of a row in `table`; NULL means no limit."""

    table: Table
    key: ColumnElement[Any]
    per_hour: int

    def reserving(self, exempt: ColumnElement[bool], after: ColumnElement[bool] | None = None) -> CTE:
        row, slots = self.table.c, in_flight(self.table)
        # Newest first: the oldest of the last `per_hour - slots` failures must be older than an hour.
        last = row.failed_at[self.per_hour - slots]
        room = and_(slots < self.per_hour, or_(last.is_(None), last <= func.now() - _HOUR))
        first = self._given(literal([], row.failed_at.type), *FIRST_SLOT.values(), after=after)
        new = insert(self.table).from_select([self._column.name, "failed_at", *FIRST_SLOT], first)
        upsert = new.on_conflict_do_update(
            index_elements=[self._column], set_=one_more(self.table), where=or_(room, exempt)
        )
        return upsert.returning(row.in_flight).cte(f"reserved_{self.table.name}")

    def has_reserved(self, reserved: CTE) -> ColumnElement[bool]:
        return or_(self.key.is_(None), exists(reserved))

    def counting(self, after: ColumnElement[bool] | None = None) -> ReturningInsert[Any]:
        """Turns the slot into a failure; `full`: the hour's limit is now reached."""
        moment = func.clock_timestamp()  # not `now()`: under the row lock these are in order
        row = self.table.c
        first = self._given(array([moment]), after=after)
        new = insert(self.table).from_select([self._column.name, "failed_at"], first)
        failed_at = func.array_prepend(moment, row.failed_at[1 : self.per_hour - 1])
        upsert = new.on_conflict_do_update(
            index_elements=[self._column],
            set_={"failed_at": failed_at, "last_at": func.now(), **one_less(self.table)},
        )
        return upsert.returning((row.failed_at[self.per_hour] > func.now() - _HOUR).label("full"))

    def retry_after(self) -> Select[Any]:
        """Seconds until failures no longer refuse; NULL, negative or no row if they do not now."""
        until = self.table.c.failed_at[self.per_hour] + _HOUR
        return select(func.extract("epoch", until - func.now())).where(self.mine)

    @property
    def mine(self) -> ColumnElement[bool]:
        return self._column == self.key

    @property
    def _column(self) -> Column[Any]:
        (column,) = self.table.primary_key
        return column

    def _given(self, *values: Any, after: ColumnElement[bool] | None) -> Select[Any]:
        return select(self.key, *values).where(self.key.is_not(None), true() if after is None else after)


def releasing(
    table: Table,
    mine: ColumnElement[bool],
    nothing_left: ColumnElement[bool],
    *,
    after: ColumnElement[bool] | None = None,
    reset: Mapping[str, Any] | None = None,
) -> tuple[CTE, CTE, CTE]:
    """Releases one slot; deletes an empty row. Locks first: two at once would each see the other's slot."""
    last = and_(table.c.in_flight <= 1, nothing_left).label("is_last")
    which = mine if after is None else and_(mine, after)
    held = select(last).where(which).with_for_update().cte(f"held_{table.name}")
    gone = (
        delete(table).where(mine, exists().where(held.c.is_last)).returning(table.c.in_flight).cte(f"gone_{table.name}")
    )
    less = update(table).where(mine, ~exists(gone)).values(**one_less(table), **(reset or {}))
    return held, gone, less.returning(table.c.in_flight).cte(f"less_{table.name}")


def done(parts: tuple[CTE, CTE, CTE]) -> ColumnElement[bool]:
    """Always true; makes Postgres run `parts` first."""
    _, gone, less = parts
    return _rows(gone) + _rows(less) >= 0


def in_flight(table: Table) -> ColumnElement[int]:
    return case((table.c.in_flight_until > func.now(), table.c.in_flight), else_=0)


def one_more(table: Table) -> dict[str, Any]:
    return {"in_flight": in_flight(table) + 1, "in_flight_until": func.now() + _LEASE}


def one_less(table: Table) -> dict[str, Any]:
    return {"in_flight": func.greatest(table.c.in_flight - 1, 0)}


def _rows(part: CTE) -> ColumnElement[int]:
    return select(func.count()).select_from(part).scalar_subquery()
