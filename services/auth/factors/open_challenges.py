"""An open challenge: its progress, and a code by mail for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, Text, any_, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.factors.challenge_statements import is_open, of_its_account
from services.auth.factors.codes import Codes, new_code
from services.auth.factors.failed_codes import CodesOff
from services.auth.factors.methods import NOT_GUESSED, Method, MethodNotOffered, not_guessed
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
    """Times are whole seconds. `sent`: whether a code was mailed; `status` is of that code. `resend_in` is None when no
    code is possible any more.
    """

    methods: list[Method]
    sent: bool
    email_hint: str
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

    async def send_code(self, connection: AsyncConnection, challenge_id: UUID) -> None:
        """Mails the first code, or another in its place; attempts and expiry stay. Raises `TokenNotValid`,
        `MethodNotOffered`, `CodesOff`, `TooManyRequests`, `Unavailable`.
        """
        found = await self._find(connection, challenge_id, lock=True)
        if "email" not in found.methods:
            raise MethodNotOffered
        if found.off:
            raise CodesOff
        if found.sent and found.resends >= self._resends:
            raise TooManyRequests(retry_after=float(found.life_left))
        if found.cooldown_left > 0:
            raise TooManyRequests(retry_after=float(found.cooldown_left))
        await self._codes.lock(connection, found.account_id, found.email_key_hash)
        await self._codes.refuse_beyond_cap(connection, found.account_id, found.email_key_hash)
        event_id, code = uuid7(), new_code()
        renew = (
            update(challenges)
            .values(
                code_mac=self._codes.macs(challenge_id, code)[0],
                resends=challenges.c.resends + (1 if found.sent else 0),
                sent_at=func.clock_timestamp(),
                code_event_id=event_id,
                code_outcome=None,
            )
            .where(challenges.c.id == challenge_id)
            .returning(challenges.c.sent_at, challenges.c.expires_at)
        )
        row = (await connection.execute(renew)).one()
        event = self._codes.event(
            event_id, challenge_id, found.account_id, found.email, code, requested=row.sent_at, expires=row.expires_at
        )
        await add(connection, outbox, event)
        await trail.record(connection, "code_sent", account=found.account_id)

    async def progress(self, connection: AsyncConnection, challenge_id: UUID) -> Progress:
        """Raises `TokenNotValid` when the challenge is used, spent or expired."""
        row = await self._find(connection, challenge_id, lock=False)
        methods = not_guessed(row.methods) if row.off else list(row.methods)
        resends_left = self._resends - row.resends if "email" in methods else 0
        wait = max(float(row.cooldown_left), await self._codes.cap_left(connection, row.account_id, row.email_key_hash))
        possible = "email" in methods and wait < row.life_left and (resends_left > 0 or not row.sent)
        return Progress(
            methods=methods,
            sent=row.sent,
            email_hint=email_hint(row.email),
            status=_STATUS.get(row.code_outcome, "pending"),
            resend_in=math.ceil(wait) if possible else None,
            resends_left=max(0, resends_left),
            attempts_left=self._attempts - row.attempts,
            expires_in=int(row.life_left),
        )

    async def account_of(self, connection: AsyncConnection, challenge_id: UUID, method: Method) -> UUID:
        """If it is open and takes this method. Raises `TokenNotValid`, `MethodNotOffered`."""
        found = await self._find(connection, challenge_id, lock=False)
        if method not in found.methods:
            raise MethodNotOffered
        account: UUID = found.account_id
        return account

    async def _find(self, connection: AsyncConnection, challenge_id: UUID, *, lock: bool) -> Row[*tuple[Any, ...]]:
        """`lock`: two concurrent resends must not both pass the cool-down."""
        now, row = func.clock_timestamp(), challenges.c
        off = self._codes.wrong.are_off(row.account_id)
        query = select(
            row.account_id,
            identities.c.email,
            row.methods,
            row.resends,
            row.attempts,
            row.email_key_hash,
            row.code_outcome,
            row.sent_at.is_not(None).label("sent"),
            off.label("off"),
            func.coalesce(func.extract("epoch", row.sent_at + self._cooldown - now), 0).label("cooldown_left"),
            func.extract("epoch", row.expires_at - now).label("life_left"),
        ).where(row.id == challenge_id, is_open(self._attempts), of_its_account())
        # Codes that are off end the challenge, unless something else can complete it.
        query = query.where(or_(~off, *(literal(each, Text) == any_(row.methods) for each in NOT_GUESSED)))
        query = query.with_for_update(of=challenges) if lock else query
        found: Row[*tuple[Any, ...]] | None = (await connection.execute(query)).one_or_none()
        if found is None:
            raise TokenNotValid
        return found


def email_hint(address: str) -> str:
    """Enough for its owner to know the mailbox, and not for anybody else: `d***@t***.com`."""
    local, _, domain = address.partition("@")
    name, dot, top = domain.rpartition(".")
    return f"{local[:1]}***@{name[:1]}***{dot}{top}" if name else f"{local[:1]}***@{domain[:1]}***"
