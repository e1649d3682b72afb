"""The end of sessions, published to the services that check access tokens without asking auth."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import outbox, sessions
from shared.messaging.events import SessionEnded
from shared.messaging.outbox import add

# Sessions per event, about 20 kB.
_MOST_IN_ONE_EVENT = 500


async def end_sessions(connection: AsyncConnection, which: ColumnElement[bool], access_lifetime: int) -> bool:
    """Whether `which`, all of one account, are any. `access_lifetime`: seconds that their access tokens may yet live.

    The event holds ids, in the same transaction, so the order of events does not matter.
    """
    until = (func.clock_timestamp() + timedelta(seconds=access_lifetime)).label("until")
    ended = (
        update(sessions)
        .values(ended_at=func.now())
        .where(which, sessions.c.ended_at.is_(None))
        .returning(sessions.c.id, sessions.c.account_id, until)
    )
    rows = (await connection.execute(ended)).all()
    for first in range(0, len(rows), _MOST_IN_ONE_EVENT):
        some = rows[first : first + _MOST_IN_ONE_EVENT]
        event = SessionEnded(
            account_id=some[0].account_id,
            session_ids=tuple(row.id for row in some),
            until=max(row.until for row in some),
        )
        await add(connection, outbox, event)
    return bool(rows)
