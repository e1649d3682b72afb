"""Second factors of an account: codes by mail, which users owns (`is_2fa`), and those that auth has told of.

The highest version wins, so events may repeat and arrive in any order. A deleted account has no row to write to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal

import structlog
from sqlalchemy import ColumnElement, Row, and_, not_, or_, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.tables import accounts
from shared.database.pool import after_commit
from shared.messaging.factor_events import FactorsChanged

log = structlog.get_logger()

# The strongest first. Recovery codes stand in for another one that was lost, and are none without it.
SecondFactor = Literal["passkey", "totp", "email", "recovery"]

_OF_AUTH: Final = ("passkey", "totp")


async def apply(connection: AsyncConnection, event: FactorsChanged) -> None:
    newer = and_(accounts.c.id == event.account_id, accounts.c.factors_version < event.version)
    changed = update(accounts).where(newer).values(factors=list(event.methods), factors_version=event.version)
    await connection.execute(changed)
    after_commit(connection, partial(log.info, "account factors", account=str(event.account_id)))


def second_factors(*, is_2fa: bool, factors: Sequence[str]) -> list[str]:
    found = [each for each in _OF_AUTH if each in factors]
    if is_2fa:
        found.append("email")
    if found and "recovery" in factors:
        found.append("recovery")
    return found


def has_second_factor(account: Row[Any]) -> bool:
    return bool(second_factors(is_2fa=account.is_2fa, factors=account.factors))


def has_another_than_mail(account: Row[Any]) -> bool:
    return bool(second_factors(is_2fa=False, factors=account.factors))


def having(word: Literal[SecondFactor, "none"]) -> ColumnElement[bool]:
    mail, enrolled = accounts.c.is_2fa, accounts.c.factors
    any_at_all = or_(mail, enrolled.overlap(_OF_AUTH))
    if word == "none":
        return not_(any_at_all)
    if word == "email":
        return mail.is_(true())
    has_it = enrolled.contains([word])
    return and_(has_it, any_at_all) if word == "recovery" else has_it
