"""Back-pressure: two-factor logins are refused while codes are not delivered (docs/decisions/0007-back-pressure.md).

1. Only facts about notifiers, their mail server and our outbox count. Delivery outcomes and the number of waiting codes
   do not: accounts cost nothing, and an attacker with many must not shut out others.
2. Only the database decides, by its clock, so all replicas agree.
3. Silence counts only since a replica began to watch: before that, no heartbeat would have been received.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from prometheus_client import Gauge
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.settings import AuthSettings
from shared.database.pool import Database
from shared.web.problems import Unavailable

log = structlog.get_logger()

PRESSURE = Gauge("login2fa_otp_pressure", "1 while two-factor logins are refused because codes are not delivered.")
SILENCE = Gauge("login2fa_notifier_silence_seconds", "Time since a notifier last said that it delivers.")
LAG = Gauge("login2fa_delivery_lag_seconds", "How late notifiers got a code lately, at most.")

RETRY_AFTER = 10

# Seconds
_LOOK_EVERY: Final = 1.0
# If no replica looked for longer than this, a heartbeat may have been missed.
_GAP: Final = 15.0

_WATCH: Final = text(
    """
UPDATE auth.back_pressure SET
    watched_at = now(),
    watched_since = CASE WHEN watched_at > now() - CAST(:gap AS float8) * interval '1 second' THEN watched_since
        ELSE now() END
WHERE coalesce(watched_at < now() - interval '5 seconds', true)
"""
)

# Ages in seconds, 0 without a row; reads one row and the ends of two indexes. The type of event is no parameter: with
# one the planner would not use the partial index.
_FACTS: Final = text(
    """
SELECT was_on, lag,
    coalesce(CAST(extract(epoch FROM now() - greatest(delivering, watched_since)) AS float8), 0) AS silence,
    coalesce(CAST(extract(epoch FROM now() - oldest_code) AS float8), 0) AS unpublished
FROM (SELECT since IS NOT NULL AS was_on, watched_since FROM auth.back_pressure) AS state,
    (SELECT max(delivering_at) AS delivering FROM auth.notifiers) AS notifiers,
    (SELECT min(created_at) AS oldest_code FROM auth.outbox WHERE type = 'auth.otp_requested.v1') AS codes,
    (
        SELECT coalesce(max(lag), 0) AS lag FROM auth.notifiers
        WHERE heard_at > now() - CAST(:gap AS float8) * interval '1 second'
    ) AS lags
"""
)

_TURN: Final = text(
    """
UPDATE auth.back_pressure SET since = CASE WHEN CAST(:on AS bool) THEN now() END WHERE (since IS NULL) = :on
"""
)


class BackPressure:
    def __init__(self, settings: AuthSettings, database: Database) -> None:
        self._database = database
        self._silence = settings.notifier_silence
        self._waiting = settings.otp_pressure_on
        self._on = False

    def refuse_if_on(self) -> None:
        if self._on:
            raise Unavailable(retry_after=RETRY_AFTER)

    async def judge(self) -> bool:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(_WATCH, {"gap": max(_GAP, self._silence)})
                self._on = await self._judged(connection)
        except Exception as error:  # noqa: BLE001 - the next look tries again
            log.warning("back-pressure not judged", error=type(error).__name__)
        PRESSURE.set(self._on)
        return self._on

    async def judge_forever(self) -> None:
        while True:
            await self.judge()
            await asyncio.sleep(_LOOK_EVERY)

    async def _judged(self, connection: AsyncConnection) -> bool:
        facts = (await connection.execute(_FACTS, {"gap": _GAP})).one()
        SILENCE.set(facts.silence)
        LAG.set(facts.lag)
        on = facts.silence >= self._silence or facts.unpublished >= self._waiting
        if on != facts.was_on and (await connection.execute(_TURN, {"on": on})).rowcount == 1:
            _log_turn(facts, on=on)
        return bool(on)


def _log_turn(facts: Row[Any], *, on: bool) -> None:
    say, what = (log.error, "refused") if on else (log.info, "let in again")
    say(
        f"two-factor logins are {what}",
        notifier_silence_seconds=round(facts.silence, 1),
        unpublished_seconds=round(facts.unpublished, 1),
        lag_seconds=round(facts.lag, 1),
    )
