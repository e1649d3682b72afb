"""One-time-password challenges, timed by the database's clock: a code is requested, then verified once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import Identity
from services.auth.factors.challenge_statements import insert_challenge, is_open, verify_code
from services.auth.factors.codes import Codes, new_code
from services.auth.factors.failed_codes import CodesOff, Guess
from services.auth.settings import AuthSettings
from services.auth.tables import challenges, trail
from shared.audit import outbox_params
from shared.messaging.address_events import AddressProved
from shared.names import email_key_hash
from shared.web.problems import Problem


class OtpNotValid(Problem):
    """Wrong, used, expired or no attempts left: all get the same answer."""

    status = 400
    code = "otp_not_valid"
    detail = "OTP not valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    id: UUID
    account: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    account: UUID
    epoch: int


class Challenges:
    def __init__(self, settings: AuthSettings, codes: Codes) -> None:
        self._codes = codes
        self._lifetime = timedelta(seconds=settings.otp_lifetime)
        self._insert_challenge = insert_challenge(self._lifetime)
        self._verify_code = verify_code(codes.wrong.counted(), is_open(settings.otp_attempts))

    async def request(self, connection: AsyncConnection, identity: Identity) -> Challenge:
        """Raises `CodesOff`, `TooManyRequests` (hourly cap of account or mailbox), `Unavailable` (back-pressure)."""
        mailbox = email_key_hash(identity.email)
        locked = await self._codes.lock(connection, identity.id, mailbox)
        if locked.off:
            raise CodesOff
        await self._codes.refuse_beyond_cap(connection, identity.id, mailbox)
        challenge, event_id, code = uuid7(), uuid7(), new_code()
        expires = locked.now + self._lifetime
        event = self._codes.event(event_id, challenge, identity, code, requested=locked.now, expires=expires)
        values = {
            "challenge": challenge,
            "account": identity.id,
            "mailbox": mailbox,
            "of_epoch": identity.session_epoch,
            "mac": self._codes.macs(challenge, code)[0],
            "code_event": event_id,
            **outbox_params(connection, trail.event("code_sent", account=identity.id), event),
        }
        await connection.execute(self._insert_challenge, values)
        return Challenge(id=challenge, account=identity.id, created_at=locked.now)

    async def verify(self, connection: AsyncConnection, challenge_id: UUID, code: str) -> Verified | None:
        """Compares and uses in one statement; None if the code is not valid. The caller commits in both cases. A right
        code proves the address that it went to.
        """
        values = {"challenge": challenge_id, "macs": self._codes.macs(challenge_id, code)}
        row = (await connection.execute(self._verify_code, values)).one_or_none()
        if row is None:
            account = await account_of(connection, challenge_id)
            await trail.record(connection, "code_verified", "refused", "challenge_over", account=account)
            return None
        guess = Guess(account=row.account_id, number=row.failures)
        if row.epoch is None:
            await self._codes.wrong.was_not_compared(connection, guess)
            await trail.record(connection, "code_verified", "refused", "challenge_over", account=guess.account)
            return None
        if row.used_at is None:
            await trail.record(connection, "code_verified", "refused", "wrong_code", account=guess.account)
            await self._codes.wrong.was_wrong(connection, guess)
            return None
        await self._codes.wrong.was_right(connection, guess, *_proved(row))
        return Verified(account=guess.account, epoch=row.epoch)


def _proved(right: Row[*tuple[Any, ...]]) -> list[AddressProved]:
    """Repeated at each login until users has said that the address is verified: an event may be late."""
    if right.email_verified:
        return []
    facts = {"account_id": right.account_id, "email": right.email, "session_epoch": right.epoch}
    return [AddressProved(**facts, occurred_at=right.used_at)]


async def account_of(connection: AsyncConnection, challenge_id: UUID) -> UUID | None:
    query = select(challenges.c.account_id).where(challenges.c.id == challenge_id)
    account: UUID | None = (await connection.execute(query)).scalar_one_or_none()
    return account
