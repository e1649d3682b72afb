"""Proves that the owner of an account reads its address, or the new one that shall take its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal
from uuid import UUID

import structlog
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts, audit
from services.users.audit import Author
from services.users.callers import Caller, Users
from services.users.code_limits import UNTOLD, Scope, lock_mailboxes
from services.users.codes import RightCode, Wanted
from services.users.notices import request_notice
from services.users.problems import CodeNotValid, NothingToProve, VerificationOff
from services.users.writes import Write, writing
from shared.database.pool import Database, after_commit
from shared.messaging.address_events import AddressProved, CodePurpose
from shared.messaging.bus import Handler
from shared.messaging.handlers import event_handler
from shared.names import canonical, email_key_hash
from shared.sealing import Sealer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The state of the latest code; see `codes.Progress`."""

    email: str
    status: Literal["not_asked", "pending", "delivered", "failed"]
    attempts_left: int
    resend_in: int
    expires_in: int


async def send_code(users: Users, known: Caller) -> int:
    """Mails a code to the address to be proved; returns the seconds that it lives. Raises `VerificationOff`,
    `NothingToProve`, `TooManyRequests`.
    """
    if users.settings.email_verification == "off":
        raise VerificationOff
    async with writing(users, known, known.token.account, rule=lambda _: None) as write:
        purpose, _ = to_prove(write.row)
        await request_code(users, write, write.row)
        return users.codes.lifetime(purpose)


async def confirm(users: Users, known: Caller, code: str) -> Row[Any]:
    """Proves the address, or puts the pending one in its place. Raises `CodeNotValid`, `NothingToProve`,
    `UserAlreadyExists` if another account has the address by now.
    """
    own = known.token.account
    async with audit.refusals(users.database, "email_verified", account=own, actor=own):
        right = await _compare(users, known, code)
        async with writing(users, known, own, rule=lambda _: None) as write:
            purpose, email = to_prove(write.row)
            if (purpose, email_key_hash(email)) != (right.asked.purpose, right.asked.mailbox):
                raise CodeNotValid  # another address has become pending meanwhile
            proved_at = await users.codes.use(write.connection, right)
            if proved_at is None:
                raise CodeNotValid
            address = {"email": email} if purpose == "change" else {}
            return await write.change({**address, "email_verified_at": proved_at})


async def _compare(users: Users, known: Caller, code: str) -> RightCode:
    """Commits, so that a wrong code stays counted."""
    purpose, email = to_prove(known.account)
    async with users.database.transaction() as connection:
        request = await users.codes.latest(connection, purpose, email, known.token.account)
        right = await users.codes.compare(connection, request, purpose, code) if request is not None else None
    if right is None:
        raise CodeNotValid
    return right


def to_prove(account: Row[Any]) -> tuple[CodePurpose, str]:
    """The purpose of the code, and the address that it is for. Raises `NothingToProve`."""
    if account.pending_email is not None:
        return "change", account.pending_email
    if account.email_verified_at is not None:
        raise NothingToProve
    return "verify", account.email


async def request_code(users: Users, write: Write, account: Row[Any], *, untold: Collection[Scope] = UNTOLD) -> None:
    """`account`: as it is now. An address that another account has gets a notice in the place of a code: no answer
    tells that it is taken. Raises `TooManyRequests`.
    """
    purpose, email = to_prove(account)
    other = await accounts.find_by_email(write.connection, email) if purpose == "change" else None
    wanted = Wanted(purpose=purpose, email=email, account=account.id, is_mailed=other is None)
    await users.codes.request(write.connection, wanted, actor=write.author.account, untold=untold)
    if other is not None:
        await request_notice(write.connection, other, "already_registered", account.modified_at, also_unproved=True)


async def change(users: Users, write: Write, changes: Mapping[str, Any]) -> Row[Any]:
    """A new address of the caller's own stays pending until its code is back; the one before stays in use. An
    administrator changes somebody's address at once: whoever lost a mailbox can prove nothing. Raises what
    `Write.change` raises, `TooManyRequests`.
    """
    is_own = write.author.account == write.row.id
    if "email" not in changes or not is_own or users.settings.email_verification == "off":
        return await write.change(changes)
    email = changes["email"]
    others = {name: value for name, value in changes.items() if name != "email"}
    if canonical(email) == write.row.email_key:
        return await write.change(others)
    # Before the names and the notices, in the order of all who mail codes: no deadlock.
    await lock_mailboxes(write.connection, email_key_hash(write.row.email), email_key_hash(email))
    changed = await write.change({**others, "pending_email": email})
    await request_code(users, write, changed)
    return changed


async def forget_pending(users: Users, known: Caller) -> Row[Any]:
    async with writing(users, known, known.token.account, rule=lambda _: None) as write:
        return await write.change({"pending_email": None})


async def progress(users: Users, known: Caller) -> Proof:
    """Raises `NothingToProve`."""
    purpose, email = to_prove(known.account)
    wanted = Wanted(purpose=purpose, email=email, account=known.token.account)
    async with users.database.transaction() as connection:
        latest = await users.codes.progress(connection, wanted, untold=UNTOLD)
    if purpose == "change" and latest.status != "not_asked":
        # Nothing is delivered to an address that another account has.
        latest = replace(latest, status="pending")
    return Proof(email=email, **asdict(latest))


async def vouch(users: Users, known: Caller, target: UUID) -> Row[Any]:
    """An administrator knows whose address it is. Raises `NotPermitted`, `LoginTooOld`, `ItemNotFound`."""
    async with (
        audit.refusals(users.database, "email_verified", account=target, actor=known.token.account),
        writing(users, known, target, rule=Caller.require_admin_with_recent_login) as write,
    ):
        if write.row.email_verified_at is not None:
            return write.row
        return await write.change({"email_verified_at": await accounts.now(write.connection)})


def address_proved_handler(database: Database, sealer: Sealer) -> Handler:
    async def apply(connection: AsyncConnection, event: AddressProved) -> None:
        """A late event about an address that has changed since, and a repeated one, change nothing."""
        account = (await accounts.lock(connection, event.account_id)).get(event.account_id)
        if account is not None and _is_news(event, account):
            proved = {"email_verified_at": event.occurred_at}
            changed = await accounts.change(connection, sealer, account, proved, by_session=None)
            await audit.record_change(connection, account, changed, Author(account=account.id))
        after_commit(connection, partial(log.info, "address proof", account=str(event.account_id)))

    return event_handler(database, AddressProved, apply)


def _is_news(event: AddressProved, account: Row[Any]) -> bool:
    same = (account.email_key, account.session_epoch) == (canonical(event.email), event.session_epoch)
    return same and account.email_verified_at is None
