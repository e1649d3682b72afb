"""When users last confirmed that auth knows all administrators (docs/decisions/0014-in-step.md).

1. A report counts only if it lists every administrator that auth knows, in a version no newer than auth's own: a later
   report can not hide a change that was lost or is late.
2. The time stored is the earlier of users' sending time and our receipt: a late or repeated report makes nothing fresh.
3. Accounts that users has not published since its database was restored are ignored.
"""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import Gauge
from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import in_step
from shared.database.pool import Database
from shared.messaging.bus import Handler
from shared.messaging.events import InStep
from shared.messaging.handlers import event_handler

log = structlog.get_logger()

AGE = Gauge(
    "login2fa_users_in_step_age_seconds",
    "Time since users last said that auth knows all administrators; beyond ADMIN_STALENESS none passes.",
)
AGE.set(math.inf)

_LOOK_EVERY: Final = 5.0

# Stores the time only if auth is in step with users, and returns whether it is.
_RECEIVE: Final = text(
    """
UPDATE auth.in_step AS mine SET
    incarnation = greatest(mine.incarnation, judged.incarnation),
    heard = CASE
        WHEN NOT caught_up OR least(:moment, now()) <= mine.heard AND mine.heard <= now() THEN mine.heard
        ELSE least(:moment, now())
    END
FROM (
    SELECT reported.incarnation, reported.incarnation >= known.incarnation AND NOT EXISTS (
        SELECT FROM auth.identities
        WHERE is_admin AND is_active AND NOT deleted AND identities.incarnation >= reported.incarnation AND NOT EXISTS (
            SELECT FROM unnest(CAST(:accounts AS uuid[]), CAST(:versions AS bigint[])) AS listed(account, version)
            WHERE account = identities.id
                AND (identities.incarnation, identities.version) >= (reported.incarnation, listed.version)
        )
    ) AS caught_up
    FROM auth.in_step AS known, (SELECT CAST(:incarnation AS bigint)) AS reported(incarnation)
) AS judged
RETURNING caught_up
"""
)


def in_step_handler(database: Database) -> Handler:
    async def apply(connection: AsyncConnection, event: InStep) -> None:
        values = {
            "moment": event.moment,
            "incarnation": event.incarnation,
            "accounts": [account for account, _ in event.administrators],
            "versions": [version for _, version in event.administrators],
        }
        if not (await connection.execute(_RECEIVE, values)).scalar_one():
            log.warning("not in step with users: a change of an administrator has not come, or was given up")

    return event_handler(database, InStep, apply)


async def watch_forever(database: Database) -> None:
    age = select(func.extract("epoch", func.now() - in_step.c.heard))
    while True:
        try:
            (seconds,) = (await database.read(age))[0]
            AGE.set(math.inf if seconds is None else float(seconds))
        except (SQLAlchemyError, OSError) as error:
            log.warning("age of the last word from users not read", error=type(error).__name__)
        await asyncio.sleep(_LOOK_EVERY)


def fresh(staleness: timedelta) -> ColumnElement[bool]:
    """True if the last report lies within `staleness` of now, past or future: a clock may have been set back."""
    now = func.now()
    return func.coalesce(select(in_step.c.heard.between(now - staleness, now + staleness)).scalar_subquery(), False)
