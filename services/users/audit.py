"""What the audit trail of users says: registrations, and what a change of an account was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.problems import CurrentPasswordWrong, LoginTooOld
from services.users.tables import trail
from shared.bearer import NotPermitted
from shared.database import Database
from shared.events import Act, ActOutcome, Reason
from shared.problems import Problem, TooManyRequests

_REFUSALS: dict[type[Problem], tuple[ActOutcome, Reason]] = {
    CurrentPasswordWrong: ("refused", "current_password_wrong"),
    LoginTooOld: ("refused", "login_too_old"),
    NotPermitted: ("refused", "not_permitted"),
    TooManyRequests: ("throttled", "too_many_passwords"),
}


@asynccontextmanager
async def refusals(database: Database, act: Act, *, account: UUID | None, actor: UUID) -> AsyncIterator[None]:
    """Around what may be refused: nothing else of it is in the database."""
    try:
        yield
    except tuple(_REFUSALS) as refusal:
        async with database.transaction() as connection:
            await trail.record(connection, act, *_REFUSALS[type(refusal)], account=account, actor=actor)
        raise


async def record_creation(connection: AsyncConnection, row: Row[Any], *, by_operator: bool) -> None:
    reason: Reason | None = "operator" if by_operator else None
    actor = None if by_operator else row.id
    await trail.record(connection, "registration", reason=reason, account=row.id, actor=actor)
    if row.is_admin:
        await trail.record(connection, "admin_granted", reason=reason, account=row.id, actor=actor)


async def record_change(
    connection: AsyncConnection, before: Row[Any], after: Row[Any], *, actor: UUID, session: UUID
) -> None:
    """One record for each thing that is another than before."""
    for act, reason in _acts(before, after):
        await trail.record(connection, act, reason=reason, account=after.id, actor=actor, session=session)


def _acts(before: Row[Any], after: Row[Any]) -> list[tuple[Act, Reason | None]]:
    acts: list[tuple[bool, Act, Reason | None]] = [
        (before.password_hash != after.password_hash, "password_changed", None),
        (before.is_2fa != after.is_2fa, "two_factor_changed", "turned_on" if after.is_2fa else "turned_off"),
        (before.email != after.email, "email_changed", None),
        (before.username != after.username, "username_changed", None),
        ((before.name, before.lastname) != (after.name, after.lastname), "profile_changed", None),
        (before.is_active and not after.is_active, "account_deactivated", None),
        (after.is_active and not before.is_active, "account_reactivated", None),
        (after.is_admin and not before.is_admin, "admin_granted", None),
        (before.is_admin and not after.is_admin, "admin_taken", None),
    ]
    return [(act, reason) for happened, act, reason in acts if happened]
