"""Checks in the database, at each request, whether a session is active; concurrent requests share one read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, and_, any_, bindparam, func, select

from services.auth.accounts.in_step import fresh
from services.auth.accounts.read_model import is_active_session
from services.auth.settings import AuthSettings
from services.auth.tables import identities, sessions
from shared.database.batched_reads import BatchedReads
from shared.database.pool import Database
from shared.database.prepared import Prepared
from shared.tokens.access import AccessToken


@dataclass(frozen=True, slots=True)
class ActiveSession:
    """A session and its owner at this moment. `is_admin`: an administrator that may act as one, for users has said so
    lately; `of_admin`: an administrator, as far as auth knows. `asked_at`: now, by the database's clock.
    """

    account: UUID
    is_admin: bool
    of_admin: bool
    email_verified: bool
    groups: Sequence[str]
    asked_at: datetime


class ActiveSessions:
    def __init__(self, settings: AuthSettings, database: Database) -> None:
        self._database = database
        self._active = _active(
            timedelta(seconds=settings.session_max_lifetime), timedelta(seconds=settings.admin_staleness)
        )
        self._reads = BatchedReads(self._read)

    async def find(self, token: AccessToken) -> ActiveSession | None:
        """None if the session is not active."""
        session = await self._reads.get(token.session)
        return session if session is not None and session.account == token.account else None

    async def _read(self, wanted: AbstractSet[UUID]) -> Mapping[UUID, ActiveSession]:
        rows = await self._active.run(self._database, {"wanted": list(wanted)})
        return {session: ActiveSession(*of_it) for session, *of_it in rows}


def active_columns(staleness: timedelta) -> tuple[ColumnElement[Any], ...]:
    """The fields of `ActiveSession`, in order."""
    return (
        sessions.c.account_id,
        and_(identities.c.is_admin, fresh(staleness)),
        identities.c.is_admin,
        identities.c.email_verified,
        identities.c.groups,
        func.now(),
    )


def _active(max_lifetime: timedelta, staleness: timedelta) -> Prepared:
    # One text for any number of sessions: with IN each number would need its own prepared statement.
    return Prepared(
        select(sessions.c.id, *active_columns(staleness))
        .join_from(sessions, identities, identities.c.id == sessions.c.account_id)
        .where(sessions.c.id == any_(bindparam("wanted", type_=ARRAY(Uuid))), is_active_session(max_lifetime))
    )
