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
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.auth.accounts.notices import Notices
from services.auth.accounts.read_model import Identity
from services.auth.login.attempt_statements import AttemptKey, AttemptStatements, Reserved, release, release_some
from services.auth.login.known_addresses import KnownAddresses
from services.auth.settings import AuthSettings
from services.auth.tables import trail
from shared.audit import outbox_params
from shared.audit_words import Reason
from shared.database.pool import Database
from shared.web.problems import TooManyRequests

log = structlog.get_logger()

# Seconds before each retry; together longer than a guess takes in the queue. They grow, to spare the pool in a flood.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    key: AttemptKey
    identity: Identity | None


class Attempts:
    def __init__(self, settings: AuthSettings, database: Database, addresses: KnownAddresses, notices: Notices) -> None:
        self._database = database
        self._notices = notices
        self._statements = AttemptStatements(settings, addresses)

    async def reserve(self, username: str, address: str) -> Attempt:
        """Call `record_failure` or `release` afterwards. Raises `TooManyRequests` beyond a limit."""
        key = self._statements.key(username, address)
        for pause in (0.0, *_PAUSES):
            if pause:
                await asyncio.sleep(pause)
            async with self._database.statement() as connection:
                reserved = await self._statements.reserve(connection, username, address)
            attempt = Attempt(key=key, identity=reserved.identity)
            if reserved.by_name:
                return attempt
            if reserved.by_network:
                async with self._database.statement() as connection:
                    await release_some(connection, key, reserved)
            if wait := await self._retry_after(key, reserved):
                break
        reason: Reason = "too_many_passwords" if reserved.by_network else "too_many_from_address"
        await self._record_throttled(attempt, reason)
        raise TooManyRequests(retry_after=wait or 1)

    async def record_failure(self, attempt: Attempt, account: UUID | None) -> None:
        event = trail.event("login", "refused", "wrong_credentials", account=account)
        async with self._database.statement() as connection:
            limit_reached = await self._statements.record_failure(
                connection, attempt.key, outbox_params(connection, event)
            )
        if limit_reached and account is not None:
            self._notices.tell_soon(account, "wrong_passwords")

    async def release(self, attempt: Attempt, *, success: bool) -> None:
        """A `success` resets the failures by name and address. Database errors are only logged: slots expire."""
        try:
            async with self._database.statement() as connection:
                await release(connection, attempt.key, success=success)
        except (SQLAlchemyError, OSError) as error:
            log.warning("login attempt not released", error=type(error).__name__)

    async def _retry_after(self, key: AttemptKey, reserved: Reserved) -> float:
        async with self._database.statement() as connection:
            return await self._statements.retry_after(connection, key, reserved)

    async def _record_throttled(self, attempt: Attempt, reason: Reason) -> None:
        account = attempt.identity.id if attempt.identity is not None else None
        async with self._database.statement() as connection:
            await trail.record(connection, "login", "throttled", reason, account=account)
