"""Codes by mail that prove an address: ten characters of base32, so that 50 bits stand where no password does.

1. Users stores only an HMAC-SHA256 of a code under a server key, bound to its purpose and mailbox.
2. A client holds the id of its request. The request bounds its wrong codes; it opens nothing by itself.
3. A code fits every open request of its purpose, mailbox and account: whoever asks twice may use either mail, and a
   stranger who asks for somebody's code can not spoil it.
4. A request without a code, for an address that has no account, answers and costs the same.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID, uuid4

from sqlalchemy import func, or_
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.users import code_limits
from services.users.code_limits import Limits, Requester, Scope
from services.users.code_statements import COUNT_IF_WRONG, INSERT, INVITATION, LATEST, OPEN, PROGRESS, USE
from services.users.settings import UsersSettings
from services.users.tables import codes, trail
from shared.audit import outbox_params
from shared.audit_words import ActOutcome
from shared.client_address import told_apart
from shared.database.expiry import Expired
from shared.long_codes import new_code
from shared.messaging.address_events import CodePurpose, CodeRequested
from shared.names import email_key_hash
from shared.observability.correlation import client_address
from shared.sealing import Sealer

# Seconds; an operator waits for it (services.users.mail_test).
TEST_LIFETIME: Final = 60

# The hourly limits count older ones too.
_COUNTED = timedelta(hours=1)
EXPIRED: Expired = ((codes, or_(codes.c.expires_at < func.now() - _COUNTED, codes.c.used_at < func.now() - _COUNTED)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A code to be mailed to `email`. `is_mailed`: false for an address to which none may go."""

    purpose: CodePurpose
    email: str
    account: UUID | None = None
    is_mailed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An open request. `mailbox` is an `email_key_hash`."""

    id: UUID
    purpose: CodePurpose
    mailbox: bytes
    account: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RightCode:
    """A code that fits an open request, and is not used yet."""

    asked: Asked
    macs: list[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of the latest request of an account. `resend_in`, `expires_in`: whole seconds."""

    status: Literal["not_asked", "pending", "delivered", "failed"]
    attempts_left: int
    resend_in: int
    expires_in: int


# After any other `AccountCodeOutcome` the code may still arrive.
_STATUS: Final[dict[str | None, Literal["delivered", "failed"]]] = {
    "delivered": "delivered",
    "given_up": "failed",
    "expired": "failed",
}


class Codes:
    def __init__(self, settings: UsersSettings, sealer: Sealer) -> None:
        self._sealer = sealer
        self._peppers = [pepper.get_secret_value().encode() for pepper in settings.mailed_code_peppers]
        self._limits = Limits(settings)
        self._attempts = settings.mailed_code_attempts
        self._lifetimes: dict[CodePurpose, int] = {
            "invite": settings.invitation_lifetime,
            "test": TEST_LIFETIME,
        }
        self._lifetime = settings.mailed_code_lifetime

    def lifetime(self, purpose: CodePurpose) -> int:
        """Seconds."""
        return self._lifetimes.get(purpose, self._lifetime)

    async def request(
        self,
        connection: AsyncConnection,
        wanted: Wanted,
        *,
        actor: UUID | None = None,
        untold: Collection[Scope] = (),
        is_limited: bool = True,
    ) -> UUID:
        """Returns the id of the request. Raises `TooManyRequests`.

        `untold`: limits that must not be told; beyond them nothing is mailed, and the codes that are there already are
        still good. `is_limited`: false for an administrator.
        """
        requester = self._requester(wanted, is_counted=is_limited)
        now = await code_limits.lock_mailboxes(connection, requester.mailbox)
        await code_limits.lock_client(connection, requester.client)
        admitted = not is_limited or await self._limits.admit(connection, requester, untold)
        is_mailed = wanted.is_mailed and admitted
        expires_at = now + timedelta(seconds=self.lifetime(wanted.purpose))
        request, code = uuid4(), new_code()
        # Sealed and hashed for nobody too: it must take as long.
        event = self._event(request, wanted, code, now, expires_at)
        mac = self._macs(wanted.purpose, requester.mailbox, code)[0]
        outcome: ActOutcome = "ok" if is_mailed else "refused"
        audited = trail.event("account_code_sent", outcome, account=wanted.account, actor=actor)
        values = {
            "request": request,
            "purpose": wanted.purpose,
            "account": wanted.account,
            "mailbox": requester.mailbox,
            "client": requester.client,
            "mac": mac if is_mailed else None,
            "created_at": now,
            "expires_at": expires_at,
            **outbox_params(connection, audited, *([event] if is_mailed else [])),
        }
        await connection.execute(INSERT, values)
        return request

    async def latest(self, connection: AsyncConnection, purpose: CodePurpose, email: str, account: UUID) -> UUID | None:
        """The latest open request of an account, which its owner need not name."""
        values = {"purpose": purpose, "mailbox": email_key_hash(email), "account": account, "most": self._attempts}
        found: UUID | None = (await connection.execute(LATEST, values)).scalar_one_or_none()
        return found

    async def refuse_beyond_client_limit(self, connection: AsyncConnection, purpose: CodePurpose, email: str) -> None:
        """Before expensive work; `request` asks again, under its lock. Raises `TooManyRequests`."""
        requester = self._requester(Wanted(purpose=purpose, email=email))
        await self._limits.admit(connection, requester, untold=("account", "mailbox"))

    async def progress(
        self, connection: AsyncConnection, wanted: Wanted, *, untold: Collection[Scope] = ()
    ) -> Progress:
        requester = self._requester(wanted)
        resend_in = math.ceil(await self._limits.wait(connection, requester, untold))
        values = {"purpose": wanted.purpose, "mailbox": requester.mailbox, "account": wanted.account}
        latest = (await connection.execute(PROGRESS, values)).one_or_none()
        if latest is None:
            return Progress(status="not_asked", attempts_left=0, resend_in=resend_in, expires_in=0)
        return Progress(
            status=_STATUS.get(latest.outcome, "pending"),
            attempts_left=max(0, self._attempts - latest.attempts),
            resend_in=resend_in,
            expires_in=int(latest.life_left),
        )

    async def compare(
        self, connection: AsyncConnection, request: UUID, purpose: CodePurpose, code: str
    ) -> RightCode | None:
        """None for a wrong code, which counts once the caller commits. A right one does not count, and is not used."""
        found = (
            await connection.execute(OPEN, {"request": request, "purpose": purpose, "most": self._attempts})
        ).one_or_none()
        if found is None:
            return None
        asked = Asked(id=request, purpose=purpose, mailbox=found.email_key_hash, account=found.account_id)
        return await self._compared(connection, asked, code)

    async def compare_invitation(self, connection: AsyncConnection, email: str, code: str) -> RightCode | None:
        """Invitations count no wrong codes: anybody could use up those of an address."""
        mailbox = email_key_hash(email)
        macs = self._macs("invite", mailbox, code)
        found = (await connection.execute(INVITATION, {"mailbox": mailbox, "macs": macs})).scalar_one_or_none()
        if found is None:
            return None
        return RightCode(asked=Asked(id=found, purpose="invite", mailbox=mailbox, account=None), macs=macs)

    async def use(self, connection: AsyncConnection, right: RightCode) -> datetime | None:
        """Uses the code, and ends every other one of its purpose, mailbox and account. Returns the time; None if the
        code was over before: roll back then, as the others are ended all the same.
        """
        asked = right.asked
        await code_limits.lock_mailboxes(connection, asked.mailbox)  # orders two who use the same codes
        values = {
            "purpose": asked.purpose,
            "mailbox": asked.mailbox,
            "account": asked.account,
            "macs": right.macs,
        }
        used: datetime | None = (await connection.execute(USE, values)).scalar_one_or_none()
        return used

    async def _compared(self, connection: AsyncConnection, asked: Asked, code: str) -> RightCode | None:
        macs = self._macs(asked.purpose, asked.mailbox, code)
        values = {
            "request": asked.id,
            "purpose": asked.purpose,
            "mailbox": asked.mailbox,
            "account": asked.account,
            "macs": macs,
        }
        wrong = (await connection.execute(COUNT_IF_WRONG, values)).one_or_none() is not None
        return None if wrong else RightCode(asked=asked, macs=macs)

    def _macs(self, purpose: CodePurpose, mailbox: bytes, code: str) -> list[bytes]:
        """By the server key of today, then by those before it. The mailbox has a fixed length."""
        message = mailbox + f"{purpose}:{code}".encode()
        return [hmac.digest(pepper, message, hashlib.sha256) for pepper in self._peppers]

    def _requester(self, wanted: Wanted, *, is_counted: bool = True) -> Requester:
        network = told_apart(client_address.get())
        client = None
        if network is not None and is_counted:
            client = hmac.digest(self._peppers[0], f"client:{network}".encode(), hashlib.sha256)
        mailbox = email_key_hash(wanted.email)
        return Requester(purpose=wanted.purpose, account=wanted.account, mailbox=mailbox, client=client)

    def _event(
        self, request: UUID, wanted: Wanted, code: str, requested_at: datetime, expires_at: datetime
    ) -> CodeRequested:
        event = CodeRequested(
            event_id=uuid7(),
            code_id=request,
            account_id=wanted.account,
            email=wanted.email,
            purpose=wanted.purpose,
            sealed_code="",
            requested_at=requested_at,
            expires_at=expires_at,
        )
        return event.model_copy(update={"sealed_code": self._sealer.seal(code, event.code_context)})
