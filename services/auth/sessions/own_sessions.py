"""An account lists its sessions, ends one of them, or logs out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import RowMapping, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.read_model import is_active_session
from services.auth.sessions.ending import end_sessions
from services.auth.settings import AuthSettings
from services.auth.tables import identities, sessions, trail
from shared.audit_words import Reason
from shared.database.pool import Database
from shared.tokens.access import AccessToken
from shared.web.problems import ItemNotFound

# People read this list; a script that logs in makes thousands.
_MOST_LISTED = 200


class OwnSessions:
    """`token`: of the session that asks."""

    def __init__(self, settings: AuthSettings, database: Database) -> None:
        self._database = database
        self._access_lifetime = settings.access_token_lifetime
        self._max_lifetime = timedelta(seconds=settings.session_max_lifetime)

    async def list(self, token: AccessToken) -> Sequence[RowMapping]:
        """`id, created_at, last_used_at, address, user_agent` of the active ones, the newest first."""
        row = sessions.c
        query = (
            select(row.id, row.began_at.label("created_at"), row.last_used_at, row.address, row.user_agent)
            .join(identities, identities.c.id == row.account_id)
            .where(row.account_id == token.account, is_active_session(self._max_lifetime))
            .order_by(row.began_at.desc(), row.id.desc())
            .limit(_MOST_LISTED)
        )
        async with self._database.transaction() as connection:
            return (await connection.execute(query)).mappings().all()

    async def log_out(self, token: AccessToken, *, everywhere: bool) -> None:
        account, session = token.account, token.session
        which = sessions.c.account_id == account if everywhere else sessions.c.id == session
        async with self._database.transaction() as connection:
            await end_sessions(connection, which, self._access_lifetime)
            await _record(connection, "logout_everywhere" if everywhere else "logout", account, session)

    async def end(self, token: AccessToken, session: UUID) -> None:
        """Raises `ItemNotFound` unless it is an active session of the same account."""
        account = token.account
        own = and_(sessions.c.id == session, sessions.c.account_id == account, identities.c.id == account)
        which = and_(own, is_active_session(self._max_lifetime))
        async with self._database.transaction() as connection:
            if not await end_sessions(connection, which, self._access_lifetime):
                raise ItemNotFound
            await _record(connection, "deleted", account, session)


async def _record(connection: AsyncConnection, reason: Reason, account: UUID, session: UUID) -> None:
    await trail.record(connection, "session_ended", reason=reason, account=account, actor=account, session=session)
