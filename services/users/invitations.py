"""Invitations: an administrator names an address, and what its account may do; the mailed code registers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts, audit
from services.users.accounts import valid_email
from services.users.callers import Caller, Users
from services.users.code_limits import lock_mailboxes
from services.users.codes import Codes, RightCode, Wanted
from services.users.problems import CodeNotValid, RegistrationClosed, UserAlreadyExists
from services.users.settings import UsersSettings
from services.users.tables import accounts as accounts_table
from services.users.tables import codes, invitations
from services.users.writes import writing
from shared.names import email_key_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvitation:
    email: str
    is_admin: bool
    groups: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """`by` is None for an operator."""

    right: RightCode
    is_admin: bool
    groups: Sequence[str]
    by: UUID | None


async def invite(users: Users, known: Caller, new: NewInvitation) -> datetime:
    """Returns when it expires. Raises `NotPermitted`, `LoginTooOld`, `EmailNotValid`, `UserAlreadyExists`,
    `TooManyRequests`.
    """
    own = known.token.account
    async with (
        audit.refusals(users.database, "invitation", account=None, actor=own),
        writing(users, known, own, rule=Caller.require_admin_with_recent_login) as write,
    ):
        expires_at = await write_invitation(write.connection, users.codes, users.settings, new, by=own)
        await write.author.record(write.connection, "invitation", account=None)
        return expires_at


async def write_invitation(
    connection: AsyncConnection, mailed: Codes, settings: UsersSettings, new: NewInvitation, *, by: UUID | None
) -> datetime:
    """It takes the place of an earlier one for the address. Raises `RegistrationClosed`, `EmailNotValid`,
    `UserAlreadyExists`, `TooManyRequests`.
    """
    if settings.registration == "closed":
        raise RegistrationClosed
    email = valid_email(new.email, reserved=settings.mail_reserved_domains)
    await lock_mailboxes(connection, email_key_hash(email))  # of two invitations at once the later one stays
    if await accounts.find_by_email(connection, email) is not None:
        raise UserAlreadyExists
    earlier = update(codes).values(used_at=func.now()).where(codes.c.email_key_hash == email_key_hash(email))
    await connection.execute(earlier.where(codes.c.purpose == "invite", codes.c.used_at.is_(None)))
    request = await mailed.request(connection, Wanted(purpose="invite", email=email), actor=by)
    values = {"email": email, "is_admin": new.is_admin, "groups": list(new.groups), "invited_by": by}
    await connection.execute(insert(invitations).values(code_id=request, **values))
    expires_at: datetime = (
        await connection.execute(select(codes.c.expires_at).where(codes.c.id == request))
    ).scalar_one()
    return expires_at


async def find(users: Users, connection: AsyncConnection, email: str, code: str) -> Invited:
    """Raises `CodeNotValid`."""
    right = await users.codes.compare_invitation(connection, email, code)
    if right is None:
        raise CodeNotValid
    query = select(invitations).where(invitations.c.code_id == right.asked.id)
    row = (await connection.execute(query)).one()
    return Invited(right=right, is_admin=row.is_admin, groups=row.groups, by=row.invited_by)


async def still_stands(connection: AsyncConnection, invited: Invited) -> bool:
    """Whether whoever invited is still an administrator: rights that were taken give none."""
    if invited.by is None:
        return True
    column = accounts_table.c
    query = (
        select(column.id).where(column.id == invited.by, column.is_admin, column.is_active).with_for_update(read=True)
    )
    return (await connection.execute(query)).one_or_none() is not None
