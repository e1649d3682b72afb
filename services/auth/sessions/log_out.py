"""Ends sessions at the request of their owner."""

from __future__ import annotations

from uuid import UUID

from services.auth.sessions.lifecycle import Sessions
from services.auth.tables import trail
from shared.audit_words import Reason
from shared.database.pool import Database
from shared.tokens.access import AccessToken
from shared.web.problems import ItemNotFound


async def log_out(database: Database, sessions: Sessions, token: AccessToken, *, everywhere: bool) -> None:
    account, session = token.account, token.session
    async with database.transaction() as connection:
        if everywhere:
            await sessions.end_all(connection, account)
        else:
            await sessions.end(connection, session)
        reason: Reason = "logout_everywhere" if everywhere else "logout"
        await trail.record(connection, "session_ended", reason=reason, account=account, actor=account, session=session)


async def end_own_session(database: Database, sessions: Sessions, token: AccessToken, session: UUID) -> None:
    account = token.account
    async with database.transaction() as connection:
        ended = await sessions.end_own(connection, session, account)
        if ended:
            await trail.record(
                connection, "session_ended", reason="deleted", account=account, actor=account, session=session
            )
    if not ended:
        raise ItemNotFound
