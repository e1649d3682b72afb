"""One-time-password challenges: requested, resent, verified; each by one statement, by the database's clock.

The code is HOTP (RFC 4226) over a secret made for this one code. What is stored is its HMAC-SHA256 under a server
key, bound to the challenge; what leaves is sealed for the notifier. The code in clear is nowhere else.
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
from sqlalchemy import ColumnElement, Row, and_, case, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.identities import Identity, may_log_in
from services.auth.pressure import Pressure
from services.auth.settings import AuthSettings
from services.auth.tables import challenges, identities, outbox, trail
from services.auth.wrong_codes import WrongCodes
from shared.bearer import TokenNotValid
from shared.events import OtpRequested
from shared.outbox import add
from shared.problems import Problem, TooManyRequests
from shared.sealing import Sealer


class OtpNotValid(Problem):
    """Wrong, used, expired, or attempts spent: one answer for all."""

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
    """Whose code was right, and the session epoch for which it was."""

    account: UUID
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a challenge gets on; seconds are whole. `resend_in` is None when no code can be had any more."""

    status: Literal["pending", "delivered", "failed"]
    resend_in: int | None
    resends_left: int
    attempts_left: int
    expires_in: int


class Challenges:
    def __init__(self, settings: AuthSettings, sealer: Sealer, pressure: Pressure) -> None:
        self._sealer = sealer
        self._pressure = pressure
        self._peppers = [pepper.get_secret_value().encode() for pepper in settings.otp_peppers]
        self._lifetime = timedelta(seconds=settings.otp_lifetime)
        self._attempts = settings.otp_attempts
        self._resends = settings.otp_resends
        self._cooldown = timedelta(seconds=settings.otp_resend_cooldown)
        self._codes_per_hour = settings.otp_codes_per_hour
        self._wrong_codes = WrongCodes(settings.otp_wrong_in_a_row)

    async def request(self, connection: AsyncConnection, identity: Identity) -> Challenge:
        """A new challenge, its code on the way.

        Raises:
            CodesOff: after too many wrong ones.
            TooManyRequests: beyond the hourly cap of the account.
            Unavailable: codes are not delivered at the moment.
        """
        await self._wrong_codes.refuse(connection, identity.id)
        await self._refuse_mail_bombing(connection, identity.id)
        await self._pressure.admit(connection, identity.id)
        challenge_id, event_id, code = uuid7(), uuid7(), _new_code()
        new = insert(challenges).values(
            id=challenge_id,
            account_id=identity.id,
            epoch=identity.session_epoch,
            code_mac=_mac(self._peppers[0], challenge_id, code),
            expires_at=func.now() + self._lifetime,
            code_event_id=event_id,
            waiting_since=func.now(),
        )
        row = (await connection.execute(new.returning(challenges.c.created_at, challenges.c.expires_at))).one()
        await self._send(connection, event_id, challenge_id, identity, code, row.created_at, row.expires_at)
        return Challenge(id=challenge_id, account=identity.id, created_at=row.created_at)

    async def resend(self, connection: AsyncConnection, challenge_id: UUID) -> None:
        """A new code for a living challenge; the old one is dead, attempts and expiry stay.

        Raises:
            TokenNotValid: the challenge is used, spent or expired.
            TooManyRequests: inside the cool-down, beyond the resends, or beyond the hourly cap of the account.
            Unavailable: codes are not delivered at the moment.
        """
        living = await self._living(connection, challenge_id)
        if living is None:
            raise TokenNotValid
        self._refuse_early_resend(living)
        await self._refuse_mail_bombing(connection, living.id)
        await self._pressure.admit(connection, living.id)
        event_id, code = uuid7(), _new_code()
        renew = (
            update(challenges)
            .values(
                code_mac=_mac(self._peppers[0], challenge_id, code),
                resends=challenges.c.resends + 1,
                sent_at=func.clock_timestamp(),
                code_event_id=event_id,
                code_outcome=None,
                mailbox_refuses=False,
                waiting_since=func.coalesce(challenges.c.waiting_since, func.clock_timestamp()),
            )
            .where(challenges.c.id == challenge_id)
            .returning(challenges.c.sent_at, challenges.c.expires_at)
        )
        row = (await connection.execute(renew)).one()
        identity = Identity(**{name: getattr(living, name) for name in Identity.__dataclass_fields__})
        await self._send(connection, event_id, challenge_id, identity, code, row.sent_at, row.expires_at)

    async def verify(self, connection: AsyncConnection, challenge_id: UUID, code: str) -> Verified | None:
        """Compare and use in one statement; None when the code is not valid. The caller commits either way."""
        guess = await self._wrong_codes.count(connection, challenge_id)
        if guess is None:
            account = await account_of(connection, challenge_id)
            await trail.record(connection, "code_verified", "refused", "challenge_over", account=account)
            return None
        right = challenges.c.code_mac.in_([_mac(pepper, challenge_id, code) for pepper in self._peppers])
        attempt = (
            update(challenges)
            .values(
                attempts=challenges.c.attempts + 1,
                used_at=case((right, func.clock_timestamp()), else_=None),
                # Who has the code has had the mail, whatever became of the report.
                code_outcome=case((right, "delivered"), else_=challenges.c.code_outcome),
                waiting_since=case((right, None), else_=challenges.c.waiting_since),
                delivered_sent_at=case((right, challenges.c.sent_at), else_=challenges.c.delivered_sent_at),
            )
            .where(challenges.c.id == challenge_id, self._alive(), _of_its_account())
            .returning(challenges.c.account_id, challenges.c.epoch, challenges.c.used_at)
        )
        row = (await connection.execute(attempt)).one_or_none()
        if row is None:
            await self._wrong_codes.was_not_compared(connection, guess)
            await trail.record(connection, "code_verified", "refused", "challenge_over", account=guess.account)
            return None
        if row.used_at is None:
            await trail.record(connection, "code_verified", "refused", "wrong_code", account=guess.account)
            await self._wrong_codes.was_wrong(connection, guess)
            return None
        await self._wrong_codes.was_right(connection, guess)
        await trail.record(connection, "code_verified", account=row.account_id, actor=row.account_id)
        return Verified(account=row.account_id, epoch=row.epoch)

    async def progress(self, connection: AsyncConnection, challenge_id: UUID) -> Progress:
        """Raises `TokenNotValid` when the challenge is used, spent or expired."""
        row = await self._living(connection, challenge_id, lock=False)
        if row is None:
            raise TokenNotValid
        hour = await self._last_hour(connection, row.id)
        wait = max(0.0, float(row.cooldown_left), float(hour.frees_in) if hour.sent >= self._codes_per_hour else 0.0)
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
        """The challenge and its identity; locked, so that two resends at once do not both pass the cool-down."""
        now = func.clock_timestamp()
        query = select(
            *(identities.c[name] for name in Identity.__dataclass_fields__),
            challenges.c.resends,
            challenges.c.attempts,
            challenges.c.code_outcome,
            func.extract("epoch", challenges.c.sent_at + self._cooldown - now).label("cooldown_left"),
            func.extract("epoch", challenges.c.expires_at - now).label("life_left"),
        ).where(challenges.c.id == challenge_id, self._living_and_on(), _of_its_account())
        query = query.with_for_update(of=challenges) if lock else query
        return (await connection.execute(query)).one_or_none()

    def _refuse_early_resend(self, challenge: Row[*tuple[Any, ...]]) -> None:
        if challenge.resends >= self._resends:
            raise TooManyRequests(retry_after=float(challenge.life_left))
        if challenge.cooldown_left > 0:
            raise TooManyRequests(retry_after=float(challenge.cooldown_left))

    async def _refuse_mail_bombing(self, connection: AsyncConnection, account: UUID) -> None:
        # Held until the commit: of two codes at once, both could be the last one that the hour allows.
        await connection.execute(select(identities.c.id).where(identities.c.id == account).with_for_update())
        hour = await self._last_hour(connection, account)
        if hour.sent >= self._codes_per_hour:
            raise TooManyRequests(retry_after=float(hour.frees_in))

    @staticmethod
    async def _last_hour(connection: AsyncConnection, account: UUID) -> Row[*tuple[Any, ...]]:
        """Codes `sent` to the account in the last hour; seconds until the first of them is older (`frees_in`)."""
        hour = timedelta(hours=1)
        query = select(
            func.coalesce(func.sum(challenges.c.resends + 1), 0).label("sent"),
            func.extract("epoch", func.min(challenges.c.created_at) + hour - func.now()).label("frees_in"),
        ).where(challenges.c.account_id == account, challenges.c.created_at > func.now() - hour)
        return (await connection.execute(query)).one()

    async def _send(
        self,
        connection: AsyncConnection,
        event_id: UUID,
        challenge: UUID,
        to: Identity,
        code: str,
        now: datetime,
        expires: datetime,
    ) -> None:
        event = OtpRequested(
            event_id=event_id,
            challenge_id=challenge,
            account_id=to.id,
            email=to.email,
            name=to.name,
            sealed_code=self._sealer.seal(code, f"{event_id}:code"),
            requested_at=now,
            expires_at=expires,
        )
        await add(connection, outbox, event)
        await trail.record(connection, "code_sent", account=to.id)


# Of the words of `OtpOutcome`; after all others the code may still come.
_STATUS: dict[str | None, Literal["delivered", "failed"]] = {
    "delivered": "delivered",
    "given_up": "failed",
    "expired": "failed",
}


async def account_of(connection: AsyncConnection, challenge_id: UUID) -> UUID | None:
    whose = select(challenges.c.account_id).where(challenges.c.id == challenge_id)
    account: UUID | None = (await connection.execute(whose)).scalar_one_or_none()
    return account


def _of_its_account() -> ColumnElement[bool]:
    """The account may log in, and nothing has ended its sessions since the challenge was made."""
    return and_(
        identities.c.id == challenges.c.account_id,
        identities.c.session_epoch == challenges.c.epoch,
        may_log_in(),
    )


def _new_code() -> str:
    return pyotp.HOTP(pyotp.random_base32(), digits=6).at(0)


def _mac(pepper: bytes, challenge: UUID, code: str) -> bytes:
    return hmac.digest(pepper, challenge.bytes + code.encode(), hashlib.sha256)
