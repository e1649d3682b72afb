"""Limits on wrong passwords, by submitted name, whether or not an account has it: a 429 reveals nothing.

1. By name and address: the first failures are free, then each doubles the wait; a success resets. During the wait even
   the right password is refused.
2. By name, per hour. Beyond it only addresses from which the account has logged in before may try: an attacker can not
   lock the owner out.
3. By address, per hour. Beyond it only names whose account has logged in from there before may try, under their own
   limits. A client that a trusted proxy does not name has no such limit.
4. Slots are reserved before the password is hashed, so concurrent guesses exceed no limit. An attempt that finds no
   slot free waits for those before it: they may be right.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from services.auth.accounts.notices import Notices
from services.auth.accounts.read_model import Identity, identity_in
from services.auth.login.attempt_statements import RECORD_FAILURE, RELEASE, RESERVE, RETRY_AFTER
from services.auth.login.known_addresses import KnownAddresses
from services.auth.settings import AuthSettings
from services.auth.tables import trail
from shared.audit import outbox_params
from shared.audit_words import Reason
from shared.client_address import told_apart
from shared.database.pool import Database
from shared.names import canonical
from shared.web.problems import TooManyRequests

log = structlog.get_logger()

# Seconds before each retry; together longer than a guess takes in the queue. They grow, to spare the pool in a flood.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptKey:
    """Name and address, hashed. `network`: the key of the limit by address; None if that has no limit."""

    name_hash: bytes
    address: str
    network: bytes | None

    @property
    def holders(self) -> list[bytes]:
        return [self.name_hash] if self.network is None else [self.name_hash, self.network]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    key: AttemptKey
    identity: Identity | None


class Attempts:
    def __init__(self, settings: AuthSettings, database: Database, addresses: KnownAddresses, notices: Notices) -> None:
        self._database = database
        self._addresses = addresses
        self._notices = notices
        self._limits = {
            "free": settings.throttle_free,
            "first_wait": settings.throttle_first_wait,
            "longest_wait": settings.throttle_longest_wait,
            "name_per_hour": settings.throttle_name_per_hour,
            "network_per_hour": settings.throttle_address_per_hour,
            "familiar_lifetime": timedelta(seconds=settings.familiar_address_lifetime),
        }

    async def reserve(self, username: str, address: str) -> Attempt:
        """Call `record_failure` or `release` afterwards. Raises `TooManyRequests` beyond a limit."""
        hashes = self._addresses.all_hashed(address)
        network = hashes[0] if told_apart(address) else None
        key = AttemptKey(name_hash=name_hash(username), address=hashes[0].hex(), network=network)
        params = self._limits | asdict(key) | {"username_key": canonical(username), "network_hashes": hashes}
        for pause in (0.0, *_PAUSES):
            await asyncio.sleep(pause)
            async with self._database.statement() as connection:
                reserved = (await connection.execute(RESERVE, params)).mappings().one()
            attempt = Attempt(key=key, identity=identity_in(reserved))
            if reserved["by_name"]:
                return attempt
            if wait := await self._retry_after(key, reserved):
                break
        reason: Reason = "too_many_passwords" if reserved["by_network"] else "too_many_from_address"
        account = attempt.identity.id if attempt.identity is not None else None
        async with self._database.statement() as connection:
            await trail.record(connection, "login", "throttled", reason, account=account)
        raise TooManyRequests(retry_after=wait or 1)

    async def record_failure(self, attempt: Attempt, account: UUID | None) -> None:
        event = trail.event("login", "refused", "wrong_credentials", account=account)
        async with self._database.statement() as connection:
            params = self._limits | asdict(attempt.key) | outbox_params(connection, event)
            limit_reached = (await connection.execute(RECORD_FAILURE, params)).scalar_one()
        if limit_reached and account is not None:
            self._notices.tell_soon(account, "wrong_passwords")

    async def release(self, attempt: Attempt, *, success: bool) -> None:
        """A `success` resets the failures by name and address. Database errors are only logged: slots expire."""
        try:
            await self._release(attempt.key, success=success, by_address=True, by_name=True)
        except (SQLAlchemyError, OSError) as error:
            log.warning("login attempt not released", error=type(error).__name__)

    async def _retry_after(self, key: AttemptKey, reserved: RowMapping) -> float:
        """Releases what was reserved. Seconds until failures no longer refuse; 0 if only attempts in flight do."""
        if reserved["by_network"]:
            await self._release(key, success=False, by_address=reserved["by_address"], by_name=False)
        params = self._limits | asdict(key) | {name: reserved[name] for name in ("by_network", "by_address")}
        async with self._database.statement() as connection:
            return max(0.0, float((await connection.execute(RETRY_AFTER, params)).scalar_one() or 0))

    async def _release(self, key: AttemptKey, **which: Any) -> None:
        async with self._database.statement() as connection:
            await connection.execute(RELEASE, asdict(key) | which)


def name_hash(username: str) -> bytes:
    """A hash, so that rows have a bounded size and a password typed into the name field is not stored."""
    return hashlib.sha256(canonical(username).encode()).digest()
