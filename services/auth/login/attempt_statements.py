"""Statements that reserve and release slots under the limits on wrong passwords (services.auth.login.attempts). Each
locks in this order, to avoid deadlocks: by network, by name and address, by name.
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
from services.auth.login.known_addresses import KnownAddresses
from services.auth.settings import AuthSettings
from services.auth.tables import address_failures, login_failures, name_failures, outbox
from shared.client_address import told_apart
from shared.messaging.outbox import insert_events
from shared.names import canonical

_NAME_HASH = bindparam("hashed_name", type_=LargeBinary)
_ADDRESS = bindparam("hashed_address", type_=Text)
_NETWORK = bindparam("hashed_network", type_=LargeBinary)
_NEVER = cast(null(), DateTime(timezone=True))
_BY_ADDRESS = and_(login_failures.c.name_hash == _NAME_HASH, login_failures.c.address == _ADDRESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptKey:
    """Name and address, hashed. `network`: the key of the limit by address; None if that has no limit."""

    name_hash: bytes
    address: str
    network: bytes | None

    @property
    def values(self) -> dict[str, Any]:
        return {"hashed_name": self.name_hash, "hashed_address": self.address, "hashed_network": self.network}

    @property
    def holders(self) -> list[bytes]:
        return [self.name_hash] if self.network is None else [self.name_hash, self.network]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    by_network: bool
    by_address: bool
    by_name: bool
    identity: Identity | None


class AttemptStatements:
    def __init__(self, settings: AuthSettings, addresses: KnownAddresses) -> None:
        self._addresses = addresses
        self._free = settings.throttle_free
        self._first_wait = settings.throttle_first_wait
        self._longest_wait = settings.throttle_longest_wait
        self._network = HourlyLimit(address_failures, _NETWORK, settings.throttle_address_per_hour)
        self._name = HourlyLimit(name_failures, _NAME_HASH, settings.throttle_name_per_hour)
        self._reserve = self._reserving()
        self._record_failure = self._recording_failure()

    def key(self, username: str, address: str) -> AttemptKey:
        hashed = self._addresses.hashed(address)
        return AttemptKey(
            name_hash=name_hash(username),
            address=hashed.hex(),
            network=hashed if told_apart(address) else None,
        )

    async def reserve(self, connection: AsyncConnection, username: str, address: str) -> Reserved:
        """One statement. If not all slots were free, the caller must release those that were."""
        values = {
            **self.key(username, address).values,
            "submitted_name": canonical(username),
            "here": self._addresses.all_hashed(address),
        }
        row = (await connection.execute(self._reserve, values)).mappings().one()
        got = {name: row[name] for name in ("by_network", "by_address", "by_name")}
        return Reserved(**got, identity=identity_in(row))

    async def retry_after(self, connection: AsyncConnection, key: AttemptKey, reserved: Reserved) -> float:
        """Seconds until failures no longer refuse this attempt; 0 if only attempts in flight do."""
        if not reserved.by_network:
            left = self._network.retry_after()
        elif reserved.by_address:
            left = self._name.retry_after()
        else:
            left = select(func.extract("epoch", login_failures.c.wait_until - func.now())).where(_BY_ADDRESS)
        return max(0.0, float((await connection.execute(left, key.values)).scalar_one_or_none() or 0))

    async def record_failure(self, connection: AsyncConnection, key: AttemptKey, event: Mapping[str, Any]) -> bool:
        """Turns all slots into failures and writes the `event`. Returns whether a limit of the name is reached."""
        row = (await connection.execute(self._record_failure, {**key.values, **event})).one()
        return bool(row.waits or row.full)

    def _recording_failure(self) -> Select[Any]:
        by_network = self._network.counting().cte("by_network")
        by_address = self._one_more_by_address(self._network.has_reserved(by_network)).cte("by_address")
        by_name = self._name.counting(after=exists(by_address)).cte("by_name")
        both = select(by_address.c.waits, by_name.c.full).select_from(by_address.join(by_name, true()))
        return both.add_cte(insert_events(outbox).cte("told"))

    def _one_more_by_address(self, after: ColumnElement[bool]) -> ReturningInsert[Any]:
        failures = login_failures.c.failures + 1
        doubled = self._first_wait * func.power(2.0, func.least(failures - self._free, 30))
        wait = func.least(doubled, self._longest_wait) * timedelta(seconds=1)
        # Only needed if another success has deleted the row meanwhile.
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

    def _reserving(self) -> Select[Any]:
        username_key = bindparam("submitted_name", type_=Text)
        familiar = self._addresses.familiar(username_key, bindparam("here", type_=ARRAY(LargeBinary)))
        by_network = self._network.reserving(exempt=familiar)
        passes = self._network.has_reserved(by_network)
        by_address = self._by_address(passes)
        by_name = self._name.reserving(exempt=familiar, after=exists(by_address))
        identity = of_name(username_key).subquery("identity")
        slots = select(
            passes.label("by_network"), exists(by_address).label("by_address"), exists(by_name).label("by_name")
        ).subquery("slots")
        return select(slots, identity).select_from(slots.outerjoin(identity, true()))

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
            .returning(login_failures.c.in_flight)
            .cte("by_address")
        )


async def release(connection: AsyncConnection, key: AttemptKey, *, success: bool) -> None:
    await connection.execute(_RELEASE[success], key.values)


async def release_some(connection: AsyncConnection, key: AttemptKey, reserved: Reserved) -> None:
    """For an attempt that got only some slots: the others belong to other attempts."""
    await connection.execute(_RELEASE_SOME[reserved.by_address], key.values)


def name_hash(username: str) -> bytes:
    """A hash, so that rows have a bounded size and a password typed into the name field is not stored."""
    return hashlib.sha256(canonical(username).encode()).digest()


def _released(*, success: bool) -> tuple[CTE, ...]:
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


def _statement(parts: tuple[CTE, ...]) -> Select[Any]:
    return select(literal(1)).add_cte(*parts)


_RELEASE = {success: _statement(_released(success=success)) for success in (True, False)}
_RELEASE_SOME = {both: _statement(_released(success=False)[: 6 if both else 3]) for both in (True, False)}
