"""An open challenge: its progress, and another code for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import Identity
from services.auth.factors.challenge_statements import is_open, of_its_account
from services.auth.factors.codes import Codes, new_code
from services.auth.settings import AuthSettings
from services.auth.tables import challenges, identities, outbox, trail
from shared.messaging.outbox import add
from shared.web.bearer import TokenNotValid
from shared.web.problems import TooManyRequests

# After any other `OtpOutcome` the code may still arrive.
_STATUS: dict[str | None, Literal["delivered", "failed"]] = {
    "delivered": "delivered",
    "given_up": "failed",
    "expired": "failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Times are whole seconds. `resend_in` is None when no more codes are possible."""

    status: Literal["pending", "delivered", "failed"]
    resend_in: int | None
    resends_left: int
    attempts_left: int
    expires_in: int


class OpenChallenges:
    def __init__(self, settings: AuthSettings, codes: Codes) -> None:
        self._codes = codes
        self._attempts = settings.otp_attempts
        self._resends = settings.otp_resends
        self._cooldown = timedelta(seconds=settings.otp_resend_cooldown)

    async def resend(self, connection: AsyncConnection, challenge_id: UUID) -> None:
        """Replaces the code; attempts and expiry stay. Raises `TokenNotValid`, `TooManyRequests`, `Unavailable`."""
        found = await self._find(connection, challenge_id, lock=True)
        if found.resends >= self._resends:
            raise TooManyRequests(retry_after=float(found.life_left))
        if found.cooldown_left > 0:
            raise TooManyRequests(retry_after=float(found.cooldown_left))
        await self._codes.lock(connection, found.id, found.email_key_hash)
        await self._codes.refuse_beyond_cap(connection, found.id, found.email_key_hash)
        event_id, code = uuid7(), new_code()
        renew = (
            update(challenges)
            .values(
                code_mac=self._codes.macs(challenge_id, code)[0],
                resends=challenges.c.resends + 1,
                sent_at=func.clock_timestamp(),
                code_event_id=event_id,
                code_outcome=None,
            )
            .where(challenges.c.id == challenge_id)
            .returning(challenges.c.sent_at, challenges.c.expires_at)
        )
        row = (await connection.execute(renew)).one()
        identity = Identity(**{name: getattr(found, name) for name in Identity.__dataclass_fields__})
        event = self._codes.event(event_id, challenge_id, identity, code, requested=row.sent_at, expires=row.expires_at)
        await add(connection, outbox, event)
        await trail.record(connection, "code_sent", account=identity.id)

    async def progress(self, connection: AsyncConnection, challenge_id: UUID) -> Progress:
        """Raises `TokenNotValid` when the challenge is used, spent or expired."""
        row = await self._find(connection, challenge_id, lock=False)
        wait = max(float(row.cooldown_left), await self._codes.cap_left(connection, row.id, row.email_key_hash))
        resends_left = max(0, self._resends - row.resends)
        return Progress(
            status=_STATUS.get(row.code_outcome, "pending"),
            resend_in=math.ceil(wait) if resends_left and wait < row.life_left else None,
            resends_left=resends_left,
            attempts_left=self._attempts - row.attempts,
            expires_in=int(row.life_left),
        )

    async def _find(self, connection: AsyncConnection, challenge_id: UUID, *, lock: bool) -> Row[*tuple[Any, ...]]:
        """`lock`: two concurrent resends must not both pass the cool-down."""
        now = func.clock_timestamp()
        off = self._codes.wrong.are_off(challenges.c.account_id)
        query = select(
            *(identities.c[name] for name in Identity.__dataclass_fields__),
            challenges.c.resends,
            challenges.c.attempts,
            challenges.c.email_key_hash,
            challenges.c.code_outcome,
            func.extract("epoch", challenges.c.sent_at + self._cooldown - now).label("cooldown_left"),
            func.extract("epoch", challenges.c.expires_at - now).label("life_left"),
        ).where(challenges.c.id == challenge_id, is_open(self._attempts), of_its_account(), ~off)
        query = query.with_for_update(of=challenges) if lock else query
        row: Row[*tuple[Any, ...]] | None = (await connection.execute(query)).one_or_none()
        if row is None:
            raise TokenNotValid
        return row
