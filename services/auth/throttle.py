"""Limits on wrong passwords, by submitted name: whether or not an account has it, so that a 429 tells nothing.

1. By name and address: some in a row are free, then each doubles the wait; a success resets. While the wait lasts even
   the right password is refused.
2. By name from all addresses: so many an hour. Beyond it only addresses may try from which the account has logged in
   before: a stranger who guesses all day does not shut the owner out.
3. A place is taken by one statement before the password is hashed, and given back unless it was wrong, so guesses at
   once do not exceed a limit. Who finds all places taken waits for those before it: they may be right.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Table, and_, case, delete, func, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import Insert, array, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from services.auth.addresses import Addresses
from services.auth.identities import find_by_username
from services.auth.login import IncorrectUsernameOrPassword
from services.auth.notices import Notices
from services.auth.settings import AuthSettings
from services.auth.tables import login_failures, name_failures, trail
from shared.database import Database
from shared.names import canonical
from shared.problems import TooManyRequests

_HOUR = timedelta(hours=1)
# A process that died gives no place back.
_LEASE = timedelta(minutes=1)
# Seconds before each try for a place but the first; together longer than a guess takes, its hash's queue included. Each
# is longer: a crowd of guesses that waits must not use up the connections of everybody else.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


class _AllTaken(Exception):
    """By attempts whose outcome is not known yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    username: str
    address: str
    name_hash: bytes
    address_hash: str

    def by_address(self) -> ColumnElement[bool]:
        failures = login_failures.c
        return and_(failures.name_hash == self.name_hash, failures.address == self.address_hash)

    def by_name(self) -> ColumnElement[bool]:
        return name_failures.c.name_hash == self.name_hash


class Throttle:
    def __init__(self, settings: AuthSettings, database: Database, addresses: Addresses, notices: Notices) -> None:
        self._database = database
        self._notices = notices
        self._addresses = addresses
        self._free = settings.throttle_free
        self._first_wait = settings.throttle_first_wait
        self._longest_wait = settings.throttle_longest_wait
        self._per_hour = settings.throttle_name_per_hour

    @asynccontextmanager
    async def attempt(self, username: str, address: str) -> AsyncIterator[None]:
        """Around the check of one password: `IncorrectUsernameOrPassword` counts, any other failure does not.

        Raises:
            TooManyRequests: beyond a limit; the block is not entered.
        """
        address_hash = self._addresses.hashed(address).hex()
        mine = _Attempt(username=username, address=address, name_hash=name_hash(username), address_hash=address_hash)
        try:
            await self._take_place(mine)
        except TooManyRequests:
            await self._record_throttled(username)
            raise
        try:
            yield
        except IncorrectUsernameOrPassword as wrong:
            async with self._database.transaction() as connection:
                limits = [
                    (await connection.execute(self._one_more_by_address(mine))).scalar_one(),
                    (await connection.execute(self._one_more_by_name(mine))).scalar_one(),
                ]
                await trail.record(connection, "login", "refused", "wrong_credentials", account=wrong.account)
            if any(limits) and wrong.account is not None:
                self._notices.tell_soon(wrong.account, "wrong_passwords")
            raise
        except BaseException:
            with suppress(SQLAlchemyError, OSError):  # the lease ends; what went wrong before is to be told
                await self._give_back(mine, success=False)
            raise
        await self._give_back(mine, success=True)

    async def _record_throttled(self, username: str) -> None:
        async with self._database.transaction() as connection:
            identity = await find_by_username(connection, username)
            account = identity.id if identity is not None else None
            await trail.record(connection, "login", "throttled", "too_many_passwords", account=account)

    async def _take_place(self, mine: _Attempt) -> None:
        for pause in (0.0, *_PAUSES):
            await asyncio.sleep(pause)
            with suppress(_AllTaken):
                async with self._database.transaction() as connection:  # rolled back unless both are to be had
                    await self._take_by_address(connection, mine)
                    await self._take_by_name(connection, mine)
                return
        raise TooManyRequests(retry_after=1)

    async def _take_by_address(self, connection: AsyncConnection, mine: _Attempt) -> None:
        row = login_failures.c
        waits = and_(row.wait_until.is_not(None), row.wait_until > func.now())
        room = _taken(login_failures) < func.greatest(self._free - row.failures, 1)
        new = insert(login_failures).values(
            name_hash=mine.name_hash, address=mine.address_hash, failures=0, **_FIRST_PLACE
        )
        if await _took(connection, new, login_failures, and_(~waits, room)):
            return
        left = select(func.extract("epoch", row.wait_until - func.now())).where(mine.by_address())
        _refuse((await connection.execute(left)).scalar_one_or_none())

    async def _take_by_name(self, connection: AsyncConnection, mine: _Attempt) -> None:
        row, taken = name_failures.c, _taken(name_failures)
        # The newest come first: of the last `limit - taken` failures the first must be older than an hour.
        last = row.failed_at[self._per_hour - taken]
        room = and_(taken < self._per_hour, or_(last.is_(None), last <= func.now() - _HOUR))
        new = insert(name_failures).values(name_hash=mine.name_hash, failed_at=[], **_FIRST_PLACE)
        if await _took(connection, new, name_failures, room):
            return
        familiar = select(self._addresses.familiar(mine.username, mine.address))
        if (await connection.execute(familiar)).scalar_one():
            await _took(connection, new, name_failures, literal(True))
            return
        left = func.extract("epoch", row.failed_at[self._per_hour] + _HOUR - func.now())
        _refuse((await connection.execute(select(left).where(mine.by_name()))).scalar_one_or_none())

    def _one_more_by_address(self, mine: _Attempt) -> ReturningInsert[tuple[bool]]:
        """Returns whether there is a wait from now on."""
        failures = login_failures.c.failures + 1
        doubled = self._first_wait * func.power(2.0, func.least(failures - self._free, 30))
        wait = func.least(doubled, self._longest_wait) * timedelta(seconds=1)
        # The row is there, unless another success has removed it meanwhile.
        first_wait = func.now() + timedelta(seconds=self._first_wait) if self._free <= 1 else null()
        new = insert(login_failures).values(
            name_hash=mine.name_hash, address=mine.address_hash, failures=1, wait_until=first_wait
        )
        return new.on_conflict_do_update(
            index_elements=["name_hash", "address"],
            set_={
                "failures": failures,
                "last_at": func.now(),
                "wait_until": case((failures >= self._free, func.now() + wait), else_=null()),
                **_one_place_less(login_failures),
            },
        ).returning(login_failures.c.wait_until.is_not(None))

    def _one_more_by_name(self, mine: _Attempt) -> ReturningInsert[tuple[bool | None]]:
        """Returns whether that was the last of this hour."""
        moment = func.clock_timestamp()  # and not of the transaction: under the row's lock these are in order
        new = insert(name_failures).values(name_hash=mine.name_hash, failed_at=array([moment]))
        kept = name_failures.c.failed_at[1 : self._per_hour - 1]
        return new.on_conflict_do_update(
            index_elements=["name_hash"],
            set_={
                "failed_at": func.array_prepend(moment, kept),
                "last_at": func.now(),
                **_one_place_less(name_failures),
            },
        ).returning(name_failures.c.failed_at[self._per_hour] > func.now() - _HOUR)

    async def _give_back(self, mine: _Attempt, *, success: bool) -> None:
        reset = {"failures": 0, "wait_until": None} if success else {}
        nothing_left = literal(True) if success else login_failures.c.failures == 0
        no_failures = func.cardinality(name_failures.c.failed_at) == 0
        async with self._database.transaction() as connection:
            await _leave(connection, login_failures, mine.by_address(), nothing_left, reset)
            await _leave(connection, name_failures, mine.by_name(), no_failures, {})


_FIRST_PLACE: dict[str, object] = {"taken": 1, "taken_until": func.now() + _LEASE}


def _taken(table: Table) -> ColumnElement[int]:
    return case((table.c.taken_until > func.now(), table.c.taken), else_=0)


def _one_place_less(table: Table) -> dict[str, object]:
    return {"taken": func.greatest(table.c.taken - 1, 0)}


async def _took(connection: AsyncConnection, new: Insert, table: Table, room: ColumnElement[bool]) -> bool:
    one_more = {"taken": _taken(table) + 1, "taken_until": func.now() + _LEASE}
    take = new.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=one_more, where=room)
    return (await connection.execute(take.returning(table.c.taken))).one_or_none() is not None


def _refuse(seconds: float | None) -> None:
    """Raises `TooManyRequests` when there is a wait to be told, else `_AllTaken`."""
    if seconds is not None and seconds > 0:
        raise TooManyRequests(retry_after=float(seconds))
    raise _AllTaken


async def _leave(
    connection: AsyncConnection,
    table: Table,
    which: ColumnElement[bool],
    nothing_left: ColumnElement[bool],
    reset: Mapping[str, object],
) -> None:
    """Give the place back; the row goes with the last place when nothing else is in it."""
    alone = table.c.taken <= 1
    if (await connection.execute(delete(table).where(which, alone, nothing_left))).rowcount == 0:
        await connection.execute(update(table).where(which).values({**_one_place_less(table), **reset}))


def name_hash(username: str) -> bytes:
    """The rows have a bounded size, and a password mistyped in the name's field is not kept."""
    return hashlib.sha256(canonical(username).encode()).digest()
