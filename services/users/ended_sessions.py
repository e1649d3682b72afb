"""The sessions that auth has ended by themselves: a logout, one deleted from the list, a reused refresh token.

Kept by their ids, so that repeats and late arrivals change nothing: what has ended does not begin again. What a change
of the account ends is not here, but told by the account's own epoch (docs/decisions/0001-session-epoch.md).
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, exists, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.tables import ended_sessions
from shared.broker.bus import Delivery, Done, GiveUp, Handler, Outcome, Retry
from shared.database import Database, unavailable
from shared.events import MalformedEvent, SessionEnded
from shared.sweep import Expired

log = structlog.get_logger()

# `until` is by the clock of auth's database; the sweep goes by that of ours, and who checks a token by its process's.
_CLOCKS_APART = timedelta(minutes=10)

EXPIRED: Expired = ((ended_sessions, ended_sessions.c.until < func.now() - _CLOCKS_APART),)


def has_ended(session: UUID) -> ColumnElement[bool]:
    return exists().where(ended_sessions.c.id == session)


async def apply(connection: AsyncConnection, event: SessionEnded) -> None:
    rows = [{"id": session, "until": event.until} for session in event.session_ids]
    await connection.execute(insert(ended_sessions).on_conflict_do_nothing(), rows)


def session_ended_handler(database: Database) -> Handler:
    """The handler of `auth.session_ended.v1`."""

    async def handle(delivery: Delivery) -> Outcome:
        try:
            event = SessionEnded.from_message(delivery)
        except MalformedEvent as error:
            return GiveUp(f"{type(error).__name__}: {error}")
        try:
            async with database.transaction() as connection:
                await apply(connection, event)
        except (SQLAlchemyError, OSError) as error:
            if not unavailable(error):
                raise
            return Retry("database unavailable")
        log.info("sessions ended", account=str(event.account_id), sessions=len(event.session_ids))
        return Done()

    return handle
