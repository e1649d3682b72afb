"""One-time codes by mail: HOTP (RFC 4226), each over a secret of its own, timed by the database's clock. Auth stores
only an HMAC-SHA256 of the code under a server key, bound to its challenge; the notifier gets the code sealed.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pyotp
from sqlalchemy import ColumnElement, Row, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import Identity
from services.auth.factors.back_pressure import BackPressure
from services.auth.factors.challenge_statements import (
    LAST_HOUR,
    insert_challenge,
    lock_account_and_mailbox,
    lock_values,
    of_its_account,
    verify_code,
)
from services.auth.factors.failed_codes import CodesOff, Guess, WrongCodes
from services.auth.settings import AuthSettings
from services.auth.tables import challenges, identities, outbox, trail
from shared.audit import outbox_params
from shared.messaging.events import OtpRequested, code_context
from shared.messaging.outbox import add
from shared.names import email_key_hash
from shared.sealing import Sealer
from shared.web.bearer import TokenNotValid
from shared.web.problems import Problem, TooManyRequests


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Times are whole seconds. `resend_in` is None when no more codes are possible."""

    status: Literal["pending", "delivered", "failed"]
    resend_in: int | None
    resends_left: int
    attempts_left: int
    expires_in: int


class Challenges:
    def __init__(self, settings: AuthSettings, sealer: Sealer, back_pressure: BackPressure) -> None:
        self._sealer = sealer
        self._back_pressure = back_pressure
        self._peppers = [pepper.get_secret_value().encode() for pepper in settings.otp_peppers]
        self._lifetime = timedelta(seconds=settings.otp_lifetime)
        self._attempts = settings.otp_attempts
        self._resends = settings.otp_resends
        self._cooldown = timedelta(seconds=settings.otp_resend_cooldown)
        self._codes_per_hour = settings.otp_codes_per_hour
        self._wrong_codes = WrongCodes(settings.otp_wrong_in_a_row)
        self._insert_challenge = insert_challenge(self._lifetime)
        self._lock = lock_account_and_mailbox(self._wrong_codes.are_off)
        self._verify_code = verify_code(self._wrong_codes.counted(), self._alive())

    async def request(self, connection: AsyncConnection, identity: Identity) -> Challenge:
        """Raises `CodesOff`, `TooManyRequests` (hourly cap of account or mailbox), `Unavailable` (back-pressure)."""
        mailbox = email_key_hash(identity.email)
        locked = await self._locked(connection, identity.id, mailbox)
        if locked.off:
            raise CodesOff
        await self._refuse_mail_bombing(connection, identity.id, mailbox)
        self._back_pressure.refuse_if_on()
        asked = Challenge(id=uuid7(), account=identity.id, created_at=locked.now)
        event_id, code = uuid7(), _new_code()
        event = self._event(event_id, asked, identity, code, locked.now + self._lifetime)
        values = {
            "challenge": asked.id,
            "account": identity.id,
            "mailbox": mailbox,
            "of_epoch": identity.session_epoch,
            "mac": _mac(self._peppers[0], asked.id, code),
            "code_event": event_id,
            **outbox_params(connection, trail.event("code_sent", account=identity.id), event),
        }
        await connection.execute(self._insert_challenge, values)
        return asked

    async def resend(self, connection: AsyncConnection, challenge_id: UUID) -> None:
        """Replaces the code; attempts and expiry stay. Raises `TokenNotValid`, `TooManyRequests`, `Unavailable`."""
        living = await self._living(connection, challenge_id)
        if living is None:
            raise TokenNotValid
        self._refuse_early_resend(living)
        await self._locked(connection, living.id, living.email_key_hash)
        await self._refuse_mail_bombing(connection, living.id, living.email_key_hash)
        self._back_pressure.refuse_if_on()
        event_id, code = uuid7(), _new_code()
        renew = (
            update(challenges)
            .values(
                code_mac=_mac(self._peppers[0], challenge_id, code),
                resends=challenges.c.resends + 1,
                sent_at=func.clock_timestamp(),
                code_event_id=event_id,
                code_outcome=None,
            )
            .where(challenges.c.id == challenge_id)
            .returning(challenges.c.sent_at, challenges.c.expires_at)
        )
        row = (await connection.execute(renew)).one()
        identity = Identity(**{name: getattr(living, name) for name in Identity.__dataclass_fields__})
        sent = Challenge(id=challenge_id, account=identity.id, created_at=row.sent_at)
        await add(connection, outbox, self._event(event_id, sent, identity, code, row.expires_at))
        await trail.record(connection, "code_sent", account=identity.id)

    async def verify(self, connection: AsyncConnection, challenge_id: UUID, code: str) -> Verified | None:
        """Compares and uses in one statement; None if the code is not valid. The caller commits in both cases."""
        values = {"challenge": challenge_id, "macs": [_mac(pepper, challenge_id, code) for pepper in self._peppers]}
        row = (await connection.execute(self._verify_code, values)).one_or_none()
        if row is None:
            account = await account_of(connection, challenge_id)
            await trail.record(connection, "code_verified", "refused", "challenge_over", account=account)
            return None
        guess = Guess(account=row.account_id, number=row.failures)
        if row.epoch is None:
            await self._wrong_codes.was_not_compared(connection, guess)
            await trail.record(connection, "code_verified", "refused", "challenge_over", account=guess.account)
            return None
        if row.used_at is None:
            await trail.record(connection, "code_verified", "refused", "wrong_code", account=guess.account)
            await self._wrong_codes.was_wrong(connection, guess)
            return None
        await self._wrong_codes.was_right(connection, guess)
        return Verified(account=guess.account, epoch=row.epoch)

    async def progress(self, connection: AsyncConnection, challenge_id: UUID) -> Progress:
        """Raises `TokenNotValid` when the challenge is used, spent or expired."""
        row = await self._living(connection, challenge_id, lock=False)
        if row is None:
            raise TokenNotValid
        wait = max(float(row.cooldown_left), await self._cap_left(connection, row.id, row.email_key_hash))
        resends_left = max(0, self._resends - row.resends)
        return Progress(
            status=_STATUS.get(row.code_outcome, "pending"),
            resend_in=math.ceil(wait) if resends_left and wait < row.life_left else None,
            resends_left=resends_left,
            attempts_left=self._attempts - row.attempts,
            expires_in=int(row.life_left),
        )

    def _alive(self) -> ColumnElement[bool]:
        return and_(
            challenges.c.used_at.is_(None),
            challenges.c.attempts < self._attempts,
            challenges.c.expires_at > func.clock_timestamp(),
        )

    def _living_and_on(self) -> ColumnElement[bool]:
        return and_(self._alive(), ~self._wrong_codes.are_off(challenges.c.account_id))

    async def _living(
        self, connection: AsyncConnection, challenge_id: UUID, *, lock: bool = True
    ) -> Row[*tuple[Any, ...]] | None:
        """`lock`: two concurrent resends must not both pass the cool-down."""
        now = func.clock_timestamp()
        query = select(
            *(identities.c[name] for name in Identity.__dataclass_fields__),
            challenges.c.resends,
            challenges.c.attempts,
            challenges.c.email_key_hash,
            challenges.c.code_outcome,
            func.extract("epoch", challenges.c.sent_at + self._cooldown - now).label("cooldown_left"),
            func.extract("epoch", challenges.c.expires_at - now).label("life_left"),
        ).where(challenges.c.id == challenge_id, self._living_and_on(), of_its_account())
        query = query.with_for_update(of=challenges) if lock else query
        return (await connection.execute(query)).one_or_none()

    def _refuse_early_resend(self, challenge: Row[*tuple[Any, ...]]) -> None:
        if challenge.resends >= self._resends:
            raise TooManyRequests(retry_after=float(challenge.life_left))
        if challenge.cooldown_left > 0:
            raise TooManyRequests(retry_after=float(challenge.cooldown_left))

    async def _refuse_mail_bombing(self, connection: AsyncConnection, account: UUID, mailbox: bytes) -> None:
        wait = await self._cap_left(connection, account, mailbox)
        if wait > 0:
            raise TooManyRequests(retry_after=wait)

    async def _locked(self, connection: AsyncConnection, account: UUID, mailbox: bytes) -> Row[*tuple[Any, ...]]:
        """Call it before the count: its locks last until the commit, or two requests could get the hour's last code."""
        locked: Row[*tuple[Any, ...]] = (await connection.execute(self._lock, lock_values(account, mailbox))).one()
        return locked

    async def _cap_left(self, connection: AsyncConnection, account: UUID, mailbox: bytes) -> float:
        counted = await connection.execute(LAST_HOUR, {"account": account, "mailbox": mailbox})
        return max((float(hour.frees_in) for hour in counted if hour.sent >= self._codes_per_hour), default=0.0)

    def _event(self, event_id: UUID, asked: Challenge, to: Identity, code: str, expires: datetime) -> OtpRequested:
        return OtpRequested(
            event_id=event_id,
            challenge_id=asked.id,
            account_id=to.id,
            email=to.email,
            sealed_code=self._sealer.seal(code, code_context(event_id, asked.id, to.id, to.email, expires)),
            requested_at=asked.created_at,
            expires_at=expires,
        )


# After any other `OtpOutcome` the code may still arrive.
_STATUS: dict[str | None, Literal["delivered", "failed"]] = {
    "delivered": "delivered",
    "given_up": "failed",
    "expired": "failed",
}


async def account_of(connection: AsyncConnection, challenge_id: UUID) -> UUID | None:
    whose = select(challenges.c.account_id).where(challenges.c.id == challenge_id)
    account: UUID | None = (await connection.execute(whose)).scalar_one_or_none()
    return account


def _new_code() -> str:
    return pyotp.HOTP(pyotp.random_base32(), digits=6).at(0)


def _mac(pepper: bytes, challenge: UUID, code: str) -> bytes:
    return hmac.digest(pepper, challenge.bytes + code.encode(), hashlib.sha256)
