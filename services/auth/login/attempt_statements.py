"""The statements that take and give back places under the limits on wrong passwords (services.auth.login.attempts).

An attempt has three places: one by its network, one by its name and address, one by its name. A statement locks these
rows in this order, or two of them would wait for each other: so each part reads from the one before it.
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
    DateTime,
    LargeBinary,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from services.auth.accounts.read_model import Identity, identity_in, of_name
from services.auth.login.hourly_limit import FIRST_SLOT, HourlyLimit, done, in_flight, one_less, one_more, releasing
from services.auth.login.known_addresses import Addresses
from services.auth.parts import Part
from services.auth.settings import AuthSettings
from services.auth.tables import address_failures, login_failures, name_failures, outbox
from shared.client_address import told_apart
from shared.database.prepared import Prepared
from shared.messaging.outbox import insertion
from shared.names import canonical

_NAME_HASH = bindparam("hashed_name", type_=LargeBinary)
_ADDRESS = bindparam("hashed_address", type_=Text)
_NETWORK = bindparam("hashed_network", type_=LargeBinary)
_NEVER = cast(null(), DateTime(timezone=True))
_BY_ADDRESS = and_(login_failures.c.name_hash == _NAME_HASH, login_failures.c.address == _ADDRESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """By which name and from which address; neither is stored in clear.

    `network`: the address too, as the key of what comes from it under all names; None where that has no limit.
    """

    name_hash: bytes
    address: str
    network: bytes | None

    @property
    def values(self) -> dict[str, Any]:
        return {"hashed_name": self.name_hash, "hashed_address": self.address, "hashed_network": self.network}

    @property
    def holders(self) -> list[bytes]:
        """The holders whose shares of the hashing queue an attempt takes (shared.passwords.hashing)."""
        return [self.name_hash] if self.network is None else [self.name_hash, self.network]

    def giving_back(self) -> Part:
        """All places, after a success: to be done in the statement that ends the login."""
        return Part(_GIVEN_BACK[True], self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Which places were to be had, each after the one before it; and who has the name at this moment, if anybody."""

    by_network: bool
    by_address: bool
    by_name: bool
    identity: Identity | None


class Places:
    def __init__(self, settings: AuthSettings, addresses: Addresses) -> None:
        self._addresses = addresses
        self._free = settings.throttle_free
        self._first_wait = settings.throttle_first_wait
        self._longest_wait = settings.throttle_longest_wait
        self._network = HourlyLimit(address_failures, _NETWORK, settings.throttle_address_per_hour)
        self._name = HourlyLimit(name_failures, _NAME_HASH, settings.throttle_name_per_hour)
        self._take = Prepared(self._taking())
        self._count = Prepared(self._counting())

    def whose(self, username: str, address: str) -> Whose:
        hashed = self._addresses.hashed(address)
        return Whose(
            name_hash=name_hash(username),
            address=hashed.hex(),
            network=hashed if told_apart(address) else None,
        )

    async def take(self, connection: AsyncConnection, username: str, address: str) -> Taken:
        """Reserves all three, in one statement. If not all were free, the caller must release those that it got."""
        values = {
            **self.whose(username, address).values,
            "submitted_name": canonical(username),
            "here": self._addresses.all_hashed(address),
        }
        row = await self._take.one(connection, values)
        assert row is not None  # noqa: S101 - it always has one
        got = {name: row[name] for name in ("by_network", "by_address", "by_name")}
        return Taken(**got, identity=identity_in(row))

    async def wait_left(self, connection: AsyncConnection, mine: Whose, taken: Taken) -> float:
        """Seconds until failures alone no longer refuse this attempt; 0 when they do not."""
        if not taken.by_network:
            left = self._network.retry_after()
        elif taken.by_address:
            left = self._name.retry_after()
        else:
            left = select(func.extract("epoch", login_failures.c.wait_until - func.now())).where(_BY_ADDRESS)
        return max(0.0, float((await connection.execute(left, mine.values)).scalar_one_or_none() or 0))

    async def count(self, connection: AsyncConnection, mine: Whose, told: Mapping[str, Any]) -> bool:
        """All places become failures, and what is `told` of it an event.

        Returns whether a limit of the name has been reached by that.
        """
        row = await self._count.one(connection, {**mine.values, **told})
        assert row is not None  # noqa: S101 - these are upserts
        return bool(row["waits"] or row["full"])

    def _counting(self) -> Select[Any]:
        by_network = self._network.counting().cte("by_network")
        by_address = self._one_more_by_address(self._network.has_reserved(by_network)).cte("by_address")
        by_name = self._name.counting(after=exists(by_address)).cte("by_name")
        both = select(by_address.c.waits, by_name.c.full).select_from(by_address.join(by_name, true()))
        return both.add_cte(insertion(outbox).cte("told"))

    def _one_more_by_address(self, after: ColumnElement[bool]) -> ReturningInsert[Any]:
        failures = login_failures.c.failures + 1
        doubled = self._first_wait * func.power(2.0, func.least(failures - self._free, 30))
        wait = func.least(doubled, self._longest_wait) * timedelta(seconds=1)
        # The row is there, unless another success has removed it meanwhile.
        first_wait = func.now() + timedelta(seconds=self._first_wait) if self._free <= 1 else _NEVER
        first = select(_NAME_HASH, _ADDRESS, literal(1), first_wait).where(after)
        new = insert(login_failures).from_select(["name_hash", "address", "failures", "wait_until"], first)
        return new.on_conflict_do_update(
            index_elements=["name_hash", "address"],
            set_={
                "failures": failures,
                "last_at": func.now(),
                "wait_until": case((failures >= self._free, func.now() + wait), else_=null()),
                **one_less(login_failures),
            },
        ).returning(login_failures.c.wait_until.is_not(None).label("waits"))

    def _taking(self) -> Select[Any]:
        username_key = bindparam("submitted_name", type_=Text)
        familiar = self._addresses.familiar(username_key, bindparam("here", type_=ARRAY(LargeBinary)))
        by_network = self._network.reserving(exempt=familiar)
        passes = self._network.has_reserved(by_network)
        by_address = self._by_address(passes)
        by_name = self._name.reserving(exempt=familiar, after=exists(by_address))
        identity = of_name(username_key).subquery("identity")
        places = select(
            passes.label("by_network"), exists(by_address).label("by_address"), exists(by_name).label("by_name")
        ).subquery("places")
        return select(places, identity).select_from(places.outerjoin(identity, true()))

    def _by_address(self, after: ColumnElement[bool]) -> CTE:
        row = login_failures.c
        waits = and_(row.wait_until.is_not(None), row.wait_until > func.now())
        room = in_flight(login_failures) < func.greatest(self._free - row.failures, 1)
        first = select(_NAME_HASH, _ADDRESS, literal(0), *FIRST_SLOT.values()).where(after)
        new = insert(login_failures).from_select(["name_hash", "address", "failures", *FIRST_SLOT], first)
        return (
            new.on_conflict_do_update(
                index_elements=["name_hash", "address"], set_=one_more(login_failures), where=and_(~waits, room)
            )
            .returning(login_failures.c.taken)
            .cte("by_address")
        )


async def give_back(connection: AsyncConnection, mine: Whose, *, success: bool) -> None:
    """A `success` forgets what was counted by name and address."""
    await _GIVE_BACK[success].one(connection, mine.values)


async def give_back_some(connection: AsyncConnection, mine: Whose, taken: Taken) -> None:
    """Those of an attempt that got the one by network, and not all: what else there is belongs to others."""
    await _GIVE_BACK_SOME[taken.by_address].one(connection, mine.values)


def name_hash(username: str) -> bytes:
    """The rows have a bounded size, and a password mistyped in the name's field is not kept."""
    return hashlib.sha256(canonical(username).encode()).digest()


def _given_back(*, success: bool) -> tuple[CTE, ...]:
    by_network = releasing(
        address_failures,
        address_failures.c.address_hash == _NETWORK,
        func.cardinality(address_failures.c.failed_at) == 0,
    )
    by_address = releasing(
        login_failures,
        _BY_ADDRESS,
        literal(True) if success else login_failures.c.failures == 0,
        after=done(by_network),
        reset={"failures": 0, "wait_until": None} if success else {},
    )
    by_name = releasing(
        name_failures,
        name_failures.c.name_hash == _NAME_HASH,
        func.cardinality(name_failures.c.failed_at) == 0,
        after=done(by_address),
    )
    return by_network + by_address + by_name


def _released(*parts: CTE) -> Prepared:
    return Prepared(select(literal(1)).add_cte(*parts))


_GIVEN_BACK = {success: _given_back(success=success) for success in (True, False)}
_GIVE_BACK = {success: _released(*parts) for success, parts in _GIVEN_BACK.items()}
# With the one by name and address, or without it.
_GIVE_BACK_SOME = {True: _released(*_GIVEN_BACK[False][:6]), False: _released(*_GIVEN_BACK[False][:3])}
