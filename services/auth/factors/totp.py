"""Authenticator apps: time-based one-time passwords (RFC 6238; SHA-1, six digits, 30 seconds), by the database's clock.
A code is used once: each use stores its time step, and takes none that is not later.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final
from uuid import UUID

import pyotp
import segno
import structlog
from sqlalchemy import RowMapping, and_, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import Identity
from services.auth.factors.enrolled import Change, Enrolled
from services.auth.factors.methods import Method
from services.auth.factors.proofs import Attempt, OtpNotValid
from services.auth.settings import AuthSettings
from services.auth.tables import totp
from shared.audit_words import Act, Reason
from shared.database.pool import Database
from shared.messaging.notice_events import NoticeWord
from shared.sealing import Sealer, Unsealable
from shared.tokens.access import MFA, OTP, AccessToken
from shared.web.problems import ItemNotFound, Problem

log = structlog.get_logger()

STEP: Final = 30

# Seconds in which a new app must be confirmed, and wrong codes that it may get.
ENROLMENT: Final = 600
_TRIES: Final = 5

# The row's lock makes a concurrent use of the same code wait, and then find its step taken.
_USE: Final = text(
    """
UPDATE auth.totp SET last_step = :step, last_used_at = now()
WHERE id = :id AND confirmed_at IS NOT NULL AND last_step < :step
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApp:
    """`uri`: for the app, in the Key Uri Format; `qr_svg`: a picture of it."""

    id: UUID
    secret: str
    uri: str
    qr_svg: str


class AuthenticatorApps:
    def __init__(self, settings: AuthSettings, database: Database, sealer: Sealer, enrolled: Enrolled) -> None:
        self._database = database
        self._sealer = sealer
        self._enrolled = enrolled
        self._issuer = settings.webauthn_rp_name
        self._drift = settings.totp_drift

    async def enrol(self, owner: Identity, name: str) -> NewApp:
        """An app that is no method yet; it replaces one that was not confirmed. Raises `TokenNotValid`."""
        account, app, secret = owner.id, uuid7(), pyotp.random_base32()
        async with self._database.transaction() as connection:
            await self._enrolled.lock(connection, account)
            await connection.execute(delete(totp).where(totp.c.account_id == account, totp.c.confirmed_at.is_(None)))
            sealed = self._sealer.seal(secret, _context(app))
            await connection.execute(insert(totp).values(id=app, account_id=account, sealed_secret=sealed, name=name))
        uri = pyotp.TOTP(secret).provisioning_uri(name=owner.username_key, issuer_name=self._issuer)
        return NewApp(id=app, secret=secret, uri=uri, qr_svg=await asyncio.to_thread(_picture, uri))

    async def confirm(self, owner: AccessToken, app: UUID, code: str) -> None:
        """From now on the app is a method, and replaces an older one. The code is used by it. Raises `TokenNotValid`,
        `ItemNotFound`, `OtpNotValid`.
        """
        waiting = and_(
            totp.c.id == app,
            totp.c.account_id == owner.account,
            totp.c.confirmed_at.is_(None),
            totp.c.attempts < _TRIES,
            totp.c.created_at > func.now() - timedelta(seconds=ENROLMENT),
        )
        async with self._database.transaction() as connection:
            await self._enrolled.lock_for(connection, owner)
            tried = update(totp).where(waiting).values(attempts=totp.c.attempts + 1)
            found = await connection.execute(tried.returning(totp.c.sealed_secret, func.now().label("now")))
            if (row := found.one_or_none()) is None:
                raise ItemNotFound
            step = self._step(app, row.sealed_secret, code, row.now)
            if step is not None:
                older = and_(totp.c.account_id == owner.account, totp.c.id != app)
                await connection.execute(delete(totp).where(older))
                await connection.execute(
                    update(totp).where(totp.c.id == app).values(confirmed_at=func.now(), last_step=step)
                )
                await self._enrolled.changed(connection, _change(owner, "factor_added"))
        if step is None:  # raised after the commit: a wrong code must stay counted
            raise OtpNotValid

    async def remove(self, owner: AccessToken, app: UUID) -> None:
        """Raises `TokenNotValid`, `ItemNotFound`."""
        own = and_(totp.c.id == app, totp.c.account_id == owner.account, totp.c.confirmed_at.is_not(None))
        async with self._database.transaction() as connection:
            await self._enrolled.lock_for(connection, owner)
            if not (await connection.execute(delete(totp).where(own))).rowcount:
                raise ItemNotFound
            await self._enrolled.changed(connection, _change(owner, "factor_removed"))

    async def find(self, connection: AsyncConnection, account: UUID) -> RowMapping | None:
        """`id, name, created_at, last_used_at` of the confirmed app."""
        query = select(totp.c.id, totp.c.name, totp.c.confirmed_at.label("created_at"), totp.c.last_used_at)
        found = await connection.execute(query.where(totp.c.account_id == account, totp.c.confirmed_at.is_not(None)))
        return found.mappings().one_or_none()

    async def uses_up(self, connection: AsyncConnection, account: UUID, code: str, now: datetime) -> bool:
        confirmed = and_(totp.c.account_id == account, totp.c.confirmed_at.is_not(None))
        found = await connection.execute(select(totp.c.id, totp.c.sealed_secret).where(confirmed))
        if (app := found.one_or_none()) is None:
            return False
        step = self._step(app.id, app.sealed_secret, code, now)
        if step is None:
            return False
        return (await connection.execute(_USE, {"id": app.id, "step": step})).rowcount == 1

    def _step(self, app: UUID, sealed: str, code: str, now: datetime) -> int | None:
        """As `matching_step`. No code matches a secret that can not be opened: the client gets the answer to a wrong
        code, which is counted, and the account's other factors go on.
        """
        try:
            secret = self._sealer.open(sealed, _context(app))
        except Unsealable as error:
            log.error(  # noqa: TRY400 - a traceback says nothing about the key that is missing
                "app secret can not be opened: add the key that sealed it to the end of FACTOR_SEALING_KEYS and"
                " restart, or take the app away with `login2fa auth reset-factors`",
                row=f"auth.totp {app}",
                reason=str(error),
            )
            return None
        return matching_step(pyotp.TOTP(secret, interval=STEP), code, now, self._drift)


@dataclass(frozen=True, slots=True)
class AppCode:
    """A code of an authenticator app, as a proof."""

    method: ClassVar[Method] = "totp"
    amr: ClassVar[Sequence[str]] = (OTP, MFA)
    counts: ClassVar[bool] = True
    act: ClassVar[Act] = "code_verified"
    wrong: ClassVar[Reason] = "wrong_code"
    refusal: ClassVar[type[Problem]] = OtpNotValid

    apps: AuthenticatorApps
    code: str

    async def holds(self, connection: AsyncConnection, attempt: Attempt) -> bool:
        return await self.apps.uses_up(connection, attempt.account, self.code, attempt.now)


def matching_step(app: pyotp.TOTP, code: str, now: datetime, drift: int) -> int | None:
    """The time step (RFC 6238 section 4.2) of `code`, at most `drift` steps from `now`. Compares all of them: the time
    that it takes must not tell which one is right.
    """
    current = int(now.timestamp()) // STEP
    right = [
        step
        for step in range(current - drift, current + drift + 1)
        if hmac.compare_digest(app.generate_otp(step), code)
    ]
    return max(right, default=None)


def _picture(uri: str) -> str:
    return segno.make_qr(uri, error="m").svg_inline(omitsize=True)


def _context(app: UUID) -> str:
    """A secret opens only in its own row."""
    return f"{app}:totp"


def _change(owner: AccessToken, act: Act) -> Change:
    notice: NoticeWord = "totp_added" if act == "factor_added" else "totp_removed"
    return Change(account=owner.account, act=act, reason="totp", notice=notice, actor=owner.account, kept=owner.session)
