"""Audit records of the users service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.problems import (
    CodeNotValid,
    CurrentPasswordWrong,
    InvitationNeeded,
    LastAdministrator,
    RegistrationClosed,
    TooManyGuesses,
    TooManyNames,
    UserAlreadyExists,
    UsernameTaken,
)
from services.users.tables import trail
from shared.audit_words import Act, ActOutcome, Reason
from shared.database.pool import Database
from shared.messaging.audit_events import Audited
from shared.web.bearer import LoginTooOld, NotPermitted, SecondFactorRequired, TokenNotValid
from shared.web.problems import Problem

_REFUSALS: dict[type[Problem], tuple[ActOutcome, Reason]] = {
    CurrentPasswordWrong: ("refused", "current_password_wrong"),
    LoginTooOld: ("refused", "login_too_old"),
    NotPermitted: ("refused", "not_permitted"),
    TokenNotValid: ("refused", "token_not_valid"),
    LastAdministrator: ("refused", "last_administrator"),
    UserAlreadyExists: ("refused", "name_taken"),
    UsernameTaken: ("refused", "name_taken"),
    CodeNotValid: ("refused", "wrong_code"),
    InvitationNeeded: ("refused", "not_permitted"),
    RegistrationClosed: ("refused", "not_permitted"),
    SecondFactorRequired: ("refused", "second_factor_required"),
    TooManyGuesses: ("throttled", "too_many_passwords"),
    TooManyNames: ("throttled", "too_many_names"),
}


@asynccontextmanager
async def refusals(database: Database, act: Act, *, account: UUID | None, actor: UUID | None) -> AsyncIterator[None]:
    """Records a refusal in its own transaction: the refused act leaves nothing else in the database."""
    try:
        yield
    except tuple(_REFUSALS) as refusal:
        async with database.transaction() as connection:
            await trail.record(connection, act, *_REFUSALS[type(refusal)], account=account, actor=actor)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    account: UUID | None = None
    session: UUID | None = None

    async def record(
        self, connection: AsyncConnection, act: Act, *, account: UUID | None, reason: Reason | None = None
    ) -> None:
        reason = "operator" if self.account is None else reason
        await trail.record(connection, act, reason=reason, account=account, actor=self.account, session=self.session)


OPERATOR = Author()


async def record_creation(connection: AsyncConnection, row: Row[Any], author: Author) -> None:
    await author.record(connection, "registration", account=row.id)
    if row.is_admin:
        await author.record(connection, "admin_granted", account=row.id)


def creations(rows: Sequence[Row[Any]]) -> list[Audited]:
    """The records of many accounts that an operator has made, to be written at once."""
    of_all: list[tuple[Act, Row[Any]]] = [("registration", row) for row in rows]
    of_all += [("admin_granted", row) for row in rows if row.is_admin]
    return [trail.event(act, reason="operator", account=row.id, actor=None, session=None) for act, row in of_all]


async def record_change(connection: AsyncConnection, before: Row[Any], after: Row[Any], author: Author) -> None:
    acts: list[tuple[bool, Act, Reason | None]] = [
        (
            before.password_hash != after.password_hash,
            "password_reset" if after.password_by_mail else "password_changed",
            None,
        ),
        (before.is_2fa != after.is_2fa, "two_factor_changed", "turned_on" if after.is_2fa else "turned_off"),
        (before.email != after.email, "email_changed", None),
        (after.pending_email not in (None, before.pending_email), "email_change_requested", None),
        (before.email_verified_at is None and after.email_verified_at is not None, "email_verified", None),
        (before.username != after.username, "username_changed", None),
        ((before.name, before.lastname) != (after.name, after.lastname), "profile_changed", None),
        (before.is_active and not after.is_active, "account_deactivated", None),
        (after.is_active and not before.is_active, "account_reactivated", None),
        (after.is_admin and not before.is_admin, "admin_granted", None),
        (before.is_admin and not after.is_admin, "admin_taken", None),
        (before.groups != after.groups, "groups_changed", None),
    ]
    for happened, act, reason in acts:
        if happened:
            await author.record(connection, act, account=after.id, reason=reason)
