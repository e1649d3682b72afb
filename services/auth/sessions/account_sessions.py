"""The sessions of an account, listed and ended by its owner or by an administrator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import RowMapping, and_, select

from services.auth.accounts.administered import of_id
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


class AccountSessions:
    """`by`: the token of whoever asks. Nothing here checks that an account which is not their own may be asked for."""

    def __init__(self, settings: AuthSettings, database: Database) -> None:
        self._database = database
        self._access_lifetime = settings.access_token_lifetime
        self._max_lifetime = timedelta(seconds=settings.session_max_lifetime)

    async def list(self, account: UUID, by: AccessToken) -> Sequence[RowMapping]:
        """`id, created_at, last_used_at, address, user_agent` of the active ones, the newest first. Raises
        `ItemNotFound`: no such account.
        """
        row = sessions.c
        query = (
            select(row.id, row.began_at.label("created_at"), row.last_used_at, row.address, row.user_agent)
            .join(identities, identities.c.id == row.account_id)
            .where(row.account_id == account, is_active_session(self._max_lifetime))
            .order_by(row.began_at.desc(), row.id.desc())
            .limit(_MOST_LISTED)
        )
        async with self._database.transaction() as connection:
            found = (await connection.execute(query)).mappings().all()
            if account != by.account:
                await of_id(connection, account)
                await trail.record(connection, "sessions_read", account=account, actor=by.account, session=by.session)
        return found

    async def log_out(self, token: AccessToken) -> None:
        async with self._database.transaction() as connection:
            await end_sessions(connection, sessions.c.id == token.session, self._access_lifetime)
            account, session = token.account, token.session
            await trail.record(
                connection, "session_ended", reason="logout", account=account, actor=account, session=session
            )

    async def end(self, account: UUID, session: UUID, by: AccessToken) -> None:
        """Raises `ItemNotFound` if the account has no such active session."""
        of_account = and_(sessions.c.id == session, sessions.c.account_id == account, identities.c.id == account)
        which = and_(of_account, is_active_session(self._max_lifetime))
        reason = _reason("deleted", account, by)
        async with self._database.transaction() as connection:
            if not await end_sessions(connection, which, self._access_lifetime):
                raise ItemNotFound
            await trail.record(
                connection, "session_ended", reason=reason, account=account, actor=by.account, session=session
            )

    async def end_all(self, account: UUID, by: AccessToken) -> None:
        """Raises `ItemNotFound`: no such account."""
        reason = _reason("logout_everywhere", account, by)
        async with self._database.transaction() as connection:
            if not await end_sessions(connection, sessions.c.account_id == account, self._access_lifetime):
                await of_id(connection, account)
                return
            await trail.record(
                connection, "session_ended", reason=reason, account=account, actor=by.account, session=by.session
            )


def _reason(own: Reason, account: UUID, by: AccessToken) -> Reason:
    return own if account == by.account else "administrator"
