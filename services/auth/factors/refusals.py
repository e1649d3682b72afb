"""Audit records of what is refused: logins after the right password, changes of factors, acts of administrators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from services.auth.factors.challenges import account_of
from services.auth.factors.failed_codes import CodesOff
from services.auth.tables import trail
from shared.audit_words import Act, ActOutcome, Reason
from shared.database.pool import Database
from shared.web.bearer import LoginTooOld, NotPermitted, SecondFactorRequired
from shared.web.problems import Problem, TooManyRequests, Unavailable

_REFUSALS: dict[type[Problem], tuple[ActOutcome, Reason]] = {
    CodesOff: ("refused", "codes_off"),
    TooManyRequests: ("throttled", "too_many_codes"),
    Unavailable: ("refused", "codes_not_delivered"),
    NotPermitted: ("refused", "not_permitted"),
    SecondFactorRequired: ("refused", "second_factor_required"),
    LoginTooOld: ("refused", "login_too_old"),
}


@asynccontextmanager
async def refusals(
    database: Database,
    act: Act,
    *,
    account: UUID | None = None,
    challenge: UUID | None = None,
    actor: UUID | None = None,
) -> AsyncIterator[None]:
    """Goes around the transaction: a record inside would be rolled back with it."""
    try:
        yield
    except tuple(_REFUSALS) as refusal:
        async with database.transaction() as connection:
            if challenge is not None:
                account = await account_of(connection, challenge)
            await trail.record(connection, act, *_REFUSALS[type(refusal)], account=account, actor=actor)
        raise
