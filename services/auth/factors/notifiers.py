"""Stores heartbeats for services.auth.factors.back_pressure, by the time of receipt: a notifier's clock may be wrong.
So a late one must not count: the broker keeps it for seconds, nothing retries it, and an old number is ignored.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.pool import Database
from shared.messaging.bus import Delivery, Done, GiveUp, Handler, Outcome
from shared.messaging.events import MalformedEvent, NotifierHeartbeat

log = structlog.get_logger()

# No notifier's clock is off by more (services.notifier.database_time): an older heartbeat was sent again.
CLOCKS_APART = timedelta(days=1)
# Longer: a heartbeat that was sent again could pass once its notifier is forgotten.
REMEMBERED = 2 * CLOCKS_APART

_STORE: Final = text(
    """
INSERT INTO auth.notifiers AS old (instance_id, number, heard_at, delivering_at, lag)
SELECT CAST(:instance AS uuid), CAST(:number AS bigint), now(), CASE WHEN CAST(:delivers AS bool) THEN now() END,
    CAST(:lag AS float8)
WHERE CAST(:sent_at AS timestamptz) BETWEEN now() - CAST(:clocks_apart AS interval) AND now() + :clocks_apart
ON CONFLICT (instance_id) DO UPDATE SET
    number = excluded.number,
    heard_at = excluded.heard_at,
    delivering_at = coalesce(excluded.delivering_at, old.delivering_at),
    lag = excluded.lag
WHERE old.number < excluded.number
"""
)


async def apply(connection: AsyncConnection, beat: NotifierHeartbeat) -> None:
    values = {
        "instance": beat.instance_id,
        "number": beat.number,
        "delivers": beat.consuming and beat.mail_taken,
        "lag": beat.lag,
        "sent_at": beat.occurred_at,
        "clocks_apart": CLOCKS_APART,
    }
    await connection.execute(_STORE, values)


def heartbeat_handler(database: Database) -> Handler:
    async def handle(delivery: Delivery) -> Outcome:
        try:
            beat = NotifierHeartbeat.from_message(delivery)
        except MalformedEvent as error:
            return GiveUp(f"{type(error).__name__}: {error}")
        try:
            async with database.transaction() as connection:
                await apply(connection, beat)
        except (SQLAlchemyError, OSError) as error:
            log.warning("heartbeat not noted", error=type(error).__name__)
        return Done()

    return handle
