"""Sessions that auth has ended, kept by id: repeated and late events change nothing (docs/decisions/0010)."""

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
from shared.database.pool import after_commit
from shared.messaging.events import SessionEnded

log = structlog.get_logger()

# `until` is by the clock of auth's database, the sweep by ours, a token check by the process's.
_CLOCKS_APART = timedelta(minutes=10)

EXPIRED: Expired = ((ended_sessions, ended_sessions.c.until < func.now() - _CLOCKS_APART),)


def has_ended(session: ColumnElement[UUID]) -> ColumnElement[bool]:
    return exists().where(ended_sessions.c.id == session)


async def is_over(connection: AsyncConnection, session: UUID) -> bool:
    return bool((await connection.execute(select(has_ended(literal(session, Uuid))))).scalar_one())


async def apply(connection: AsyncConnection, event: SessionEnded) -> None:
    """Locks the account, so that no session ends between another writer's check and commit."""
    await connection.execute(select(accounts.c.id).where(accounts.c.id == event.account_id).with_for_update(read=True))
    rows = [{"id": session, "until": event.until} for session in event.session_ids]
    await connection.execute(insert(ended_sessions).on_conflict_do_nothing(), rows)
    report = partial(log.info, "sessions ended", account=str(event.account_id), sessions=len(event.session_ids))
    after_commit(connection, report)
