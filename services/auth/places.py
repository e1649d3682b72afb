"""The statements that take places under the limits on wrong passwords, and give them back (services.auth.throttle).

An attempt has two places: one by its name and address, one by its name. Whoever touches both rows takes the one by
address first, or two of them would wait for each other: so each part reads from the one that goes before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    LargeBinary,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import array, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from services.auth.addresses import Addresses
from services.auth.identities import Identity, identity_in, of_name
from services.auth.parts import Part
from services.auth.settings import AuthSettings
from services.auth.tables import login_failures, name_failures, outbox
from shared.names import canonical
from shared.outbox import insertion
from shared.prepared import Prepared

_HOUR = timedelta(hours=1)
# A process that died gives no place back.
_LEASE = timedelta(minutes=1)

_NAME_HASH = bindparam("hashed_name", type_=LargeBinary)
_ADDRESS = bindparam("hashed_address", type_=Text)
_BY_ADDRESS = and_(login_failures.c.name_hash == _NAME_HASH, login_failures.c.address == _ADDRESS)
_BY_NAME = name_failures.c.name_hash == _NAME_HASH


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """By which name and from which address; neither is stored in clear."""

    name_hash: bytes
    address: str

    @property
    def values(self) -> dict[str, Any]:
        return {"hashed_name": self.name_hash, "hashed_address": self.address}

    def giving_back(self) -> Part:
        """Both places, after a success: to be done in the statement that ends the login."""
        return Part(_GIVEN_BACK[True], self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Which places were to be had, and who has the name at this moment, if anybody."""

    by_address: bool
    by_name: bool
    identity: Identity | None


class Places:
    def __init__(self, settings: AuthSettings, addresses: Addresses) -> None:
        self._addresses = addresses
        self._free = settings.throttle_free
        self._first_wait = settings.throttle_first_wait
        self._longest_wait = settings.throttle_longest_wait
        self._per_hour = settings.throttle_name_per_hour
        self._take = Prepared(self._taking())
        self._count = Prepared(self._counting())

    def whose(self, username: str, address: str) -> Whose:
        return Whose(name_hash=name_hash(username), address=self._addresses.hashed(address).hex())

    async def take(self, connection: AsyncConnection, username: str, address: str) -> Taken:
        """One statement, whoever has the name. Who gets the first place and not the second has to give it back."""
        values = {
            **self.whose(username, address).values,
            "submitted_name": canonical(username),
            "here": self._addresses.all_hashed(address),
        }
        row = await self._take.one(connection, values)
        assert row is not None  # noqa: S101 - it always has one
        return Taken(by_address=row["by_address"], by_name=row["by_name"], identity=identity_in(row))

    async def wait_left(self, connection: AsyncConnection, mine: Whose, *, by_name: bool) -> float:
        """Seconds until failures alone no longer refuse this attempt; 0 when they do not."""
        last = name_failures.c.failed_at[self._per_hour] + _HOUR
        until, where = (last, _BY_NAME) if by_name else (login_failures.c.wait_until, _BY_ADDRESS)
        left = select(func.extract("epoch", until - func.now())).where(where)
        return max(0.0, float((await connection.execute(left, mine.values)).scalar_one_or_none() or 0))

    async def count(self, connection: AsyncConnection, mine: Whose, told: Mapping[str, Any]) -> bool:
        """Both places become failures, and what is `told` of it an event; whether a limit has been reached by that."""
        row = await self._count.one(connection, {**mine.values, **told})
        assert row is not None  # noqa: S101 - both are upserts
        return bool(row["waits"] or row["full"])

    def _counting(self) -> Select[Any]:
        by_address = self._one_more_by_address().cte("by_address")
        by_name = self._one_more_by_name(by_address).cte("by_name")
        both = select(by_address.c.waits, by_name.c.full).select_from(by_address.join(by_name, true()))
        return both.add_cte(insertion(outbox).cte("told"))

    def _one_more_by_address(self) -> ReturningInsert[Any]:
        failures = login_failures.c.failures + 1
        doubled = self._first_wait * func.power(2.0, func.least(failures - self._free, 30))
        wait = func.least(doubled, self._longest_wait) * timedelta(seconds=1)
        # The row is there, unless another success has removed it meanwhile.
        first_wait = func.now() + timedelta(seconds=self._first_wait) if self._free <= 1 else null()
        new = insert(login_failures).values(name_hash=_NAME_HASH, address=_ADDRESS, failures=1, wait_until=first_wait)
        return new.on_conflict_do_update(
            index_elements=["name_hash", "address"],
            set_={
                "failures": failures,
                "last_at": func.now(),
                "wait_until": case((failures >= self._free, func.now() + wait), else_=null()),
                **_one_less(login_failures),
            },
        ).returning(login_failures.c.wait_until.is_not(None).label("waits"))

    def _one_more_by_name(self, by_address: CTE) -> ReturningInsert[Any]:
        """Returns whether that was the last of this hour."""
        moment = func.clock_timestamp()  # and not of the transaction: under the row's lock these are in order
        first = select(_NAME_HASH, array([moment])).select_from(by_address)
        new = insert(name_failures).from_select(["name_hash", "failed_at"], first)
        kept = name_failures.c.failed_at[1 : self._per_hour - 1]
        return new.on_conflict_do_update(
            index_elements=["name_hash"],
            set_={
                "failed_at": func.array_prepend(moment, kept),
                "last_at": func.now(),
                **_one_less(name_failures),
            },
        ).returning((name_failures.c.failed_at[self._per_hour] > func.now() - _HOUR).label("full"))

    def _taking(self) -> Select[Any]:
        by_address, username_key = self._by_address(), bindparam("submitted_name", type_=Text)
        by_name = self._by_name(by_address, username_key)
        identity = of_name(username_key).subquery("identity")
        places = select(exists(by_address).label("by_address"), exists(by_name).label("by_name")).subquery("places")
        return select(places, identity).select_from(places.outerjoin(identity, true()))

    def _by_address(self) -> CTE:
        row = login_failures.c
        waits = and_(row.wait_until.is_not(None), row.wait_until > func.now())
        room = _taken(login_failures) < func.greatest(self._free - row.failures, 1)
        new = insert(login_failures).values(name_hash=_NAME_HASH, address=_ADDRESS, failures=0, **_FIRST)
        return (
            new.on_conflict_do_update(
                index_elements=["name_hash", "address"], set_=_one_more(login_failures), where=and_(~waits, room)
            )
            .returning(login_failures.c.taken)
            .cte("by_address")
        )

    def _by_name(self, by_address: CTE, username_key: ColumnElement[str]) -> CTE:
        row, places = name_failures.c, _taken(name_failures)
        # The newest come first: of the last `limit - taken` failures the first must be older than an hour.
        last = row.failed_at[self._per_hour - places]
        room = and_(places < self._per_hour, or_(last.is_(None), last <= func.now() - _HOUR))
        familiar = self._addresses.familiar(username_key, bindparam("here", type_=ARRAY(LargeBinary)))
        first = select(_NAME_HASH, literal([], row.failed_at.type), *_FIRST.values()).select_from(by_address)
        new = insert(name_failures).from_select(["name_hash", "failed_at", *_FIRST], first)
        return (
            new.on_conflict_do_update(
                index_elements=["name_hash"], set_=_one_more(name_failures), where=or_(room, familiar)
            )
            .returning(name_failures.c.taken)
            .cte("by_name")
        )


async def give_back(connection: AsyncConnection, mine: Whose, *, success: bool) -> None:
    """A `success` forgets what was counted by name and address."""
    await _GIVE_BACK[success].one(connection, mine.values)


async def give_back_by_address(connection: AsyncConnection, mine: Whose) -> None:
    """Of who got no place by name: what there is belongs to others."""
    await _GIVE_BACK_BY_ADDRESS.one(connection, mine.values)


def _taken(table: Table) -> ColumnElement[int]:
    return case((table.c.taken_until > func.now(), table.c.taken), else_=0)


def _one_less(table: Table) -> dict[str, Any]:
    return {"taken": func.greatest(table.c.taken - 1, 0)}


def name_hash(username: str) -> bytes:
    """The rows have a bounded size, and a password mistyped in the name's field is not kept."""
    return hashlib.sha256(canonical(username).encode()).digest()


_FIRST: dict[str, ColumnElement[Any]] = {"taken": literal(1), "taken_until": func.now() + _LEASE}


def _one_more(table: Table) -> dict[str, Any]:
    return {"taken": _taken(table) + 1, "taken_until": func.now() + _LEASE}


def _given_back(*, success: bool) -> tuple[CTE, ...]:
    """The row goes with the last place when nothing else is in it.

    Whether it is the last is asked under the row's lock: two that end at once would each see the place of the other.
    """
    reset: dict[str, Any] = {"failures": 0, "wait_until": None} if success else {}
    nothing_left = literal(True) if success else login_failures.c.failures == 0
    by_address = _held(login_failures, _BY_ADDRESS, nothing_left, "address_held")
    gone = delete(login_failures).where(_BY_ADDRESS, exists().where(by_address.c.is_last))
    address_gone = gone.returning(login_failures.c.taken).cte("address_gone")
    less = (
        update(login_failures).where(_BY_ADDRESS, ~exists(address_gone)).values({**_one_less(login_failures), **reset})
    )
    address_less = less.returning(login_failures.c.taken).cte("address_less")
    # Always true, and not known before the row by address has been dealt with.
    by_address_first = _rows(address_gone) + _rows(address_less) >= 0
    no_failures = func.cardinality(name_failures.c.failed_at) == 0
    by_name = _held(name_failures, and_(_BY_NAME, by_address_first), no_failures, "name_held")
    gone = delete(name_failures).where(_BY_NAME, exists().where(by_name.c.is_last))
    name_gone = gone.returning(name_failures.c.taken).cte("name_gone")
    name_less = update(name_failures).where(_BY_NAME, ~exists(name_gone)).values(_one_less(name_failures))
    return by_address, address_gone, address_less, by_name, name_gone, name_less.cte("name_less")


def _held(table: Table, row: ColumnElement[bool], nothing_left: ColumnElement[bool], name: str) -> CTE:
    """That row as it is once it is locked, and not as it was when the statement began."""
    return select(and_(table.c.taken <= 1, nothing_left).label("is_last")).where(row).with_for_update().cte(name)


def _rows(part: CTE) -> ColumnElement[int]:
    return select(func.count()).select_from(part).scalar_subquery()


_GIVEN_BACK = {success: _given_back(success=success) for success in (True, False)}
_GIVE_BACK = {success: Prepared(select(literal(1)).add_cte(*parts)) for success, parts in _GIVEN_BACK.items()}
_GIVE_BACK_BY_ADDRESS = Prepared(select(literal(1)).add_cte(*_GIVEN_BACK[False][:3]))
