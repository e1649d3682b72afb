"""Second factors of an account: codes by mail, which users owns (`is_2fa`), and those that auth has told of.

The highest version wins, so events may repeat and arrive in any order. A deleted account has no row to write to.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Literal, get_args

import structlog
from sqlalchemy import ColumnElement, Row, and_, not_, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.tables import accounts
from shared.database.pool import after_commit
from shared.messaging.factor_events import FactorsChanged

log = structlog.get_logger()

# The strongest first.
SecondFactor = Literal["passkey", "totp", "email", "recovery"]

# Recovery codes stand in for a lost factor, and are none by themselves.
_ALONE_ENOUGH: Final = ("passkey", "totp")


async def apply(connection: AsyncConnection, event: FactorsChanged) -> None:
    newer = and_(accounts.c.id == event.account_id, accounts.c.factors_version < event.version)
    changed = update(accounts).where(newer).values(factors=list(event.methods), factors_version=event.version)
    await connection.execute(changed)
    after_commit(connection, partial(log.info, "account factors", account=str(event.account_id)))


def second_factors(*, is_2fa: bool, factors: list[str]) -> list[str]:
    return [each for each in get_args(SecondFactor) if each in factors or (each == "email" and is_2fa)]


def has_second_factor(account: Row[Any]) -> bool:
    return bool(account.is_2fa) or has_another_than_mail(account)


def has_another_than_mail(account: Row[Any]) -> bool:
    return any(each in account.factors for each in _ALONE_ENOUGH)


def having(word: SecondFactor | Literal["none"]) -> ColumnElement[bool]:
    """`none`: no second factor, though there may be recovery codes."""
    if word == "none":
        return not_(or_(accounts.c.is_2fa, accounts.c.factors.overlap(_ALONE_ENOUGH)))
    if word == "email":
        return accounts.c.is_2fa.expression
    return accounts.c.factors.contains([word])
