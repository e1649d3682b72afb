"""Back-pressure: two-factor logins are refused while codes are not delivered (docs/decisions/0007-back-pressure.md).

1. Only facts about notifiers, their mail server and our outbox count. Delivery outcomes and the number of waiting codes
   do not: accounts cost nothing, and an attacker with many must not shut out others.
2. Only the database decides, by its clock, so all replicas agree.
3. Silence counts only since a replica began to watch: before that, no heartbeat would have been received.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import Gauge
from sqlalchemy import ColumnElement, Float, Row, Select, Update, case, cast, func, literal_column, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.settings import AuthSettings
from services.auth.tables import back_pressure, notifiers, outbox
from shared.database.pool import Database
from shared.web.problems import Unavailable

log = structlog.get_logger()

PRESSURE = Gauge("login2fa_otp_pressure", "1 while two-factor logins are refused because codes are not delivered.")
SILENCE = Gauge("login2fa_notifier_silence_seconds", "Since a notifier said last that it delivers.")
LAG = Gauge("login2fa_delivery_lag_seconds", "Of the oldest code that a notifier was handed last.")

RETRY_AFTER = 10

_LOOK_EVERY = 1.0
_NOTED_EVERY = timedelta(seconds=5)
# If no replica looked for longer than this, a heartbeat may have been missed.
_GAP = timedelta(seconds=15)

# A literal: with a parameter the planner would not use the partial index.
_CODE: ColumnElement[str] = literal_column("'auth.otp_requested.v1'")


class BackPressure:
    def __init__(self, settings: AuthSettings, database: Database) -> None:
        self._database = database
        self._silence = settings.notifier_silence
        self._waiting = settings.otp_pressure_on
        self._watching = _watching(max(_GAP, timedelta(seconds=self._silence)))
        self._on = False

    def refuse_if_on(self) -> None:
        if self._on:
            raise Unavailable(retry_after=RETRY_AFTER)

    async def judge(self) -> bool:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(self._watching)
                self._on = await self._judged(connection)
        except (SQLAlchemyError, OSError) as error:
            log.warning("back-pressure not judged", error=type(error).__name__)
        PRESSURE.set(self._on)
        return self._on

    async def judge_forever(self) -> None:
        while True:
            try:
                await self.judge()
            except Exception as error:  # noqa: BLE001 - the next look tries again
                log.warning("back-pressure not judged", error=type(error).__name__)
            await asyncio.sleep(_LOOK_EVERY)

    async def _judged(self, connection: AsyncConnection) -> bool:
        facts = (await connection.execute(_FACTS)).one()
        SILENCE.set(facts.silence)
        LAG.set(facts.lag)
        on = facts.silence >= self._silence or facts.unpublished >= self._waiting
        if on != facts.was_on and await _turn(connection, on=on):
            _tell(facts, on=on)
        return bool(on)


def _tell(facts: Row[Any], *, on: bool) -> None:
    say, what = (log.error, "refused") if on else (log.info, "let in again")
    say(
        f"two-factor logins are {what}",
        notifier_silence_seconds=round(facts.silence, 1),
        unpublished_seconds=round(facts.unpublished, 1),
        lag_seconds=round(facts.lag, 1),
    )


async def _turn(connection: AsyncConnection, *, on: bool) -> bool:
    since = back_pressure.c.since
    stays = since.is_(None) if on else since.is_not(None)
    turn = update(back_pressure).values(since=func.now() if on else None).where(stays)
    return (await connection.execute(turn)).rowcount == 1


def _watching(gap: timedelta) -> Update:
    at = back_pressure.c.watched_at
    since = case((at > func.now() - gap, back_pressure.c.watched_since), else_=func.now())
    due = or_(at.is_(None), at < func.now() - _NOTED_EVERY)
    return update(back_pressure).values(watched_at=func.now(), watched_since=since).where(due)


def _facts() -> Select[Any]:
    """Ages in seconds, 0 without a row; reads one row and the ends of two indexes."""
    delivering = select(func.max(notifiers.c.delivering_at)).scalar_subquery()
    oldest = select(func.min(outbox.c.created_at)).where(outbox.c.type == _CODE).scalar_subquery()
    age = select(func.max(notifiers.c.lag)).where(notifiers.c.heard_at > func.now() - _GAP).scalar_subquery()
    return select(
        back_pressure.c.since.is_not(None).label("was_on"),
        _age(func.greatest(delivering, back_pressure.c.watched_since)).label("silence"),
        _age(oldest).label("unpublished"),
        func.coalesce(age, 0).label("lag"),
    )


def _age(since: Any) -> Any:
    return func.coalesce(cast(func.extract("epoch", func.now() - since), Float), 0)


_FACTS = _facts()
