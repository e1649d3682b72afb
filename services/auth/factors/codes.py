"""The codes of challenges: HOTP (RFC 4226), each over a secret of its own, capped per hour, sealed for the notifier.

Auth stores only an HMAC-SHA256 of a code under a server key, bound to its challenge.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Any
from uuid import UUID

import pyotp
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.factors.back_pressure import BackPressure
from services.auth.factors.code_caps import LAST_HOUR, lock_account_and_mailbox, lock_values
from services.auth.factors.failed_codes import WrongCodes
from services.auth.settings import AuthSettings
from shared.messaging.events import OtpRequested
from shared.sealing import Sealer
from shared.web.problems import TooManyRequests


class Codes:
    def __init__(self, settings: AuthSettings, sealer: Sealer, back_pressure: BackPressure, wrong: WrongCodes) -> None:
        self.wrong = wrong
        self._sealer = sealer
        self._back_pressure = back_pressure
        self._peppers = [pepper.get_secret_value().encode() for pepper in settings.otp_peppers]
        self._per_hour = settings.otp_codes_per_hour
        self._lock = lock_account_and_mailbox(self.wrong.are_off)

    async def lock(self, connection: AsyncConnection, account: UUID, mailbox: bytes) -> Row[*tuple[Any, ...]]:
        """`now`, and whether codes are `off`. Until the commit, or two requests could get the hour's last code."""
        locked: Row[*tuple[Any, ...]] = (await connection.execute(self._lock, lock_values(account, mailbox))).one()
        return locked

    async def refuse_beyond_cap(self, connection: AsyncConnection, account: UUID, mailbox: bytes) -> None:
        """Raises `TooManyRequests` (hourly cap of account or mailbox), `Unavailable` (back-pressure)."""
        wait = await self.cap_left(connection, account, mailbox)
        if wait > 0:
            raise TooManyRequests(retry_after=wait)
        self._back_pressure.refuse_if_on()

    async def cap_left(self, connection: AsyncConnection, account: UUID, mailbox: bytes) -> float:
        """Seconds until the hourly caps allow a code; 0 when they do."""
        counted = await connection.execute(LAST_HOUR, {"account": account, "mailbox": mailbox})
        return max((float(hour.frees_in) for hour in counted if hour.sent >= self._per_hour), default=0.0)

    def macs(self, challenge: UUID, code: str) -> list[bytes]:
        """By the server key of today, then by those before it."""
        message = challenge.bytes + code.encode()
        return [hmac.digest(pepper, message, hashlib.sha256) for pepper in self._peppers]

    def event(
        self,
        event_id: UUID,
        challenge: UUID,
        account: UUID,
        email: str,
        code: str,
        *,
        requested: datetime,
        expires: datetime,
    ) -> OtpRequested:
        event = OtpRequested(
            event_id=event_id,
            challenge_id=challenge,
            account_id=account,
            email=email,
            sealed_code="",
            requested_at=requested,
            expires_at=expires,
        )
        return event.model_copy(update={"sealed_code": self._sealer.seal(code, event.code_context)})


def new_code() -> str:
    return pyotp.HOTP(pyotp.random_base32(), digits=6).at(0)
