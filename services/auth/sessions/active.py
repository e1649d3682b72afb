"""Checks in the database, at each request, whether a session is active; concurrent requests share one read."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, and_, any_, bindparam, select

from services.auth.accounts.in_step import fresh
from services.auth.accounts.read_model import is_active_session
from services.auth.settings import AuthSettings
from services.auth.tables import identities, sessions
from shared.database.batched_reads import BatchedReads
from shared.database.pool import Database
from shared.database.prepared import Prepared
from shared.tokens.access import AccessToken


class ActiveSessions:
    def __init__(self, settings: AuthSettings, database: Database) -> None:
        self._database = database
        self._active = _active(
            timedelta(seconds=settings.session_max_lifetime), timedelta(seconds=settings.admin_staleness)
        )
        self._reads = BatchedReads(self._read)

    async def is_admin(self, token: AccessToken) -> bool | None:
        """Whether the owner is an administrator; None if the session is not active."""
        owner = await self._reads.get(token.session)
        return owner[1] if owner is not None and owner[0] == token.account else None

    async def _read(self, wanted: AbstractSet[UUID]) -> Mapping[UUID, tuple[UUID, bool]]:
        rows = await self._active.run(self._database, {"wanted": list(wanted)})
        return {session: (account, is_admin) for session, account, is_admin in rows}


def _active(max_lifetime: timedelta, staleness: timedelta) -> Prepared:
    # One text for any number of sessions: with IN each number would need its own prepared statement.
    return Prepared(
        select(sessions.c.id, sessions.c.account_id, and_(identities.c.is_admin, fresh(staleness)).label("is_admin"))
        .join_from(sessions, identities, identities.c.id == sessions.c.account_id)
        .where(sessions.c.id == any_(bindparam("wanted", type_=ARRAY(Uuid))), is_active_session(max_lifetime))
    )
