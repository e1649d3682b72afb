"""Stores heartbeats for services.auth.factors.back_pressure, by the time of receipt: a notifier's clock may be wrong.
So a late one must not count: the broker keeps it for seconds, nothing retries it, and an old number is ignored.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from sqlalchemy import BigInteger, DateTime, Double, Uuid, bindparam, cast, func, null, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import notifiers
from shared.database.pool import Database
from shared.messaging.bus import Delivery, Done, GiveUp, Handler, Outcome
from shared.messaging.events import MalformedEvent, NotifierHeartbeat

log = structlog.get_logger()


# No notifier's clock is off by more (services.notifier.database_time): an older heartbeat was sent again.
CLOCKS_APART = timedelta(days=1)
# Longer: a heartbeat that was sent again could pass once its notifier is forgotten.
REMEMBERED = 2 * CLOCKS_APART


async def apply(connection: AsyncConnection, beat: NotifierHeartbeat) -> None:
    delivers = beat.consuming and beat.mail_taken
    said_at = bindparam("said_at", beat.occurred_at, type_=DateTime(timezone=True))
    is_of_today = said_at.between(func.now() - CLOCKS_APART, func.now() + CLOCKS_APART)
    columns = ["instance_id", "number", "heard_at", "delivering_at", "lag"]
    values = select(
        bindparam("instance", beat.instance_id, type_=Uuid),
        bindparam("beat_number", beat.number, type_=BigInteger),
        func.now(),
        func.now() if delivers else cast(null(), DateTime(timezone=True)),
        bindparam("age", beat.lag, type_=Double),
    ).where(is_of_today)
    heard = insert(notifiers).from_select(columns, values)
    said = heard.excluded
    await connection.execute(
        heard.on_conflict_do_update(
            index_elements=[notifiers.c.instance_id],
            set_={
                "number": said.number,
                "heard_at": said.heard_at,
                "delivering_at": func.coalesce(said.delivering_at, notifiers.c.delivering_at),
                "lag": said.lag,
            },
            where=notifiers.c.number < said.number,
        )
    )


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
