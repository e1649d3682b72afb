"""A session goes on with another pair, because its person has authenticated again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.sessions.client import Client
from services.auth.sessions.lifecycle import Sessions, TokenPair
from services.auth.sessions.renewal_statements import LEAVE_COOKIE, USE_LATEST, step_up
from services.auth.sessions.statements import values_of
from services.auth.settings import AuthSettings
from services.auth.tables import trail
from services.auth.tokens.issue import SessionFacts
from shared.audit import outbox_params

# A refresh or another step-up under way hides its token from a statement that waited for it, not from the next one.
_LOOKS: Final = 2


class SteppingUp:
    def __init__(self, settings: AuthSettings, sessions: Sessions) -> None:
        self._sessions = sessions
        self._step_up = step_up(
            timedelta(seconds=settings.refresh_token_lifetime), timedelta(seconds=settings.session_max_lifetime)
        )

    async def renew(
        self, connection: AsyncConnection, session: UUID, account: UUID, amr: Sequence[str], client: Client
    ) -> TokenPair | None:
        """A new pair of the same session, whose `auth_time` is now; None if it has ended. The old refresh token, or the
        cookie of a browser, ends with it (ASVS 7.2.4). `amr`: of the proof, without the password.
        """
        for _ in range(_LOOKS):
            used = (await connection.execute(USE_LATEST, {"session": session})).scalar_one_or_none()
            if used or (await connection.execute(LEAVE_COOKIE, {"session": session})).one_or_none():
                break
        else:
            return None
        token = uuid7()
        event = trail.event("step_up", account=account, actor=account, session=session)
        values = {"session": session, "account": account, "parent": used, "token": token, "by_means": list(amr)}
        values |= values_of(client) | outbox_params(connection, event)
        row = (await connection.execute(self._step_up, values)).one_or_none()
        return self._sessions.pair(SessionFacts.in_row(row), token) if row is not None else None
