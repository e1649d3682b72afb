"""The sessions that auth has ended by themselves: a logout, one deleted from the list, a reused refresh token.

Kept by their ids, so that repeats and late arrivals change nothing: what has ended does not begin again. What a change
of the account ends is not here, but told by the account's own epoch (docs/decisions/0001-session-epoch.md).
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, Uuid, exists, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.tables import accounts, ended_sessions
from shared.database.expiry import Expired
from shared.database.pool import Database, after_commit
from shared.messaging.bus import Handler
from shared.messaging.events import SessionEnded
from shared.messaging.handlers import event_handler

log = structlog.get_logger()

# `until` is by the clock of auth's database; the sweep goes by that of ours, and who checks a token by its process's.
_CLOCKS_APART = timedelta(minutes=10)

EXPIRED: Expired = ((ended_sessions, ended_sessions.c.until < func.now() - _CLOCKS_APART),)


def has_ended(session: ColumnElement[UUID]) -> ColumnElement[bool]:
    return exists().where(ended_sessions.c.id == session)


async def is_over(connection: AsyncConnection, session: UUID) -> bool:
    return bool((await connection.execute(select(has_ended(literal(session, Uuid))))).scalar_one())


async def apply(connection: AsyncConnection, event: SessionEnded) -> None:
    """Waits for whoever writes to the account, and is waited for: a session does not end between check and commit."""
    await connection.execute(select(accounts.c.id).where(accounts.c.id == event.account_id).with_for_update(read=True))
    rows = [{"id": session, "until": event.until} for session in event.session_ids]
    await connection.execute(insert(ended_sessions).on_conflict_do_nothing(), rows)
    tell = partial(log.info, "sessions ended", account=str(event.account_id), sessions=len(event.session_ids))
    after_commit(connection, tell)


def session_ended_handler(database: Database) -> Handler:
    """The handler of `auth.session_ended.v1`."""
    return event_handler(database, SessionEnded, apply)
