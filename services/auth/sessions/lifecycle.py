"""Sessions and their refresh-token families; reuse after the grace is theft (docs/decisions/0003-refresh-grace.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.sessions.client import Client
from services.auth.sessions.ending import end_sessions
from services.auth.sessions.renewal_statements import USE_LATEST, find_successor, rotate_token, step_up
from services.auth.sessions.statements import insert_session, values_of
from services.auth.settings import AuthSettings
from services.auth.tables import refresh_tokens, sessions, trail
from services.auth.tokens.issue import SessionFacts, Tokens
from shared.audit import log_committed, outbox_params
from shared.audit_words import Act, Reason
from shared.database.pool import Database
from shared.database.prepared import Prepared
from shared.messaging.outbox import event_params

# A refresh under way hides its successor from a statement that waited for it, not from the next one.
_LOOKS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in: int


class Sessions:
    def __init__(self, settings: AuthSettings, tokens: Tokens) -> None:
        self._tokens = tokens
        self._access_lifetime = settings.access_token_lifetime
        self._lifetime = timedelta(seconds=settings.refresh_token_lifetime)
        self._max_lifetime = timedelta(seconds=settings.session_max_lifetime)
        self._insert_session = insert_session(self._lifetime)
        self._step_up = step_up(self._lifetime, self._max_lifetime)
        self._rotate_token = Prepared(rotate_token(self._lifetime, self._max_lifetime))
        self._find_successor = find_successor(timedelta(seconds=settings.refresh_grace), self._max_lifetime)

    async def begin(
        self,
        connection: AsyncConnection,
        account: UUID,
        epoch: int,
        amr: Sequence[str],
        client: Client,
        address_hash: bytes,
    ) -> TokenPair:
        """One statement. `amr`: authentication methods (RFC 8176). The address becomes a known one."""
        session, token = uuid7(), uuid7()
        event = trail.event("login", account=account, actor=account, session=session)
        values = {"account": account, "of_epoch": epoch, "by_means": list(amr), "session": session, "token": token}
        values |= values_of(client) | outbox_params(connection, event) | {"from_address": address_hash}
        begun = (await connection.execute(self._insert_session, values)).mappings().one()
        now = begun["now"]
        facts = SessionFacts(
            id=session, account=account, epoch=epoch, began_at=now, auth_time=now, amr=list(amr), **begun
        )
        return self._pair(facts, token)

    async def step_up(
        self, connection: AsyncConnection, session: UUID, account: UUID, amr: Sequence[str], client: Client
    ) -> TokenPair | None:
        """A new pair of the same session, whose `auth_time` is now; None if it has ended. The old refresh token is used
        with it (ASVS 7.2.4). `amr`: of the proof, without the password.
        """
        used = None
        for _ in range(_LOOKS):
            if (used := (await connection.execute(USE_LATEST, {"session": session})).scalar_one_or_none()) is not None:
                break
        if used is None:
            return None
        token = uuid7()
        event = trail.event("step_up", account=account, actor=account, session=session)
        values = {"session": session, "account": account, "parent": used, "token": token, "by_means": list(amr)}
        values |= values_of(client) | outbox_params(connection, event)
        row = (await connection.execute(self._step_up, values)).one_or_none()
        return self._pair(_facts_in(row), token) if row is not None else None

    async def rotate(self, database: Database, token_id: UUID, client: Client) -> TokenPair | None:
        """None if the token has been used: also if this statement is repeated because its answer was lost."""
        token, event = uuid7(), trail.event("refresh", account=None)
        values = {"parent": token_id, "token": token} | values_of(client) | event_params(event)
        rows = await self._rotate_token.run(database, values)
        if not rows:
            return None
        facts = _facts_in(rows[0])
        owner = {"account_id": facts.account, "actor_id": facts.account, "session_id": facts.id}
        log_committed(event.model_copy(update=owner))
        return self._pair(facts, token)

    async def repeat(self, connection: AsyncConnection, token_id: UUID) -> TokenPair | None:
        """Returns the pair that `rotate` gave. The caller commits also after None, which may have ended the session."""
        row = (await connection.execute(self._find_successor, {"parent": token_id})).mappings().one_or_none()
        if row is None:
            await self._refuse(connection, token_id)
            return None
        facts = dict(row)
        token = facts.pop("token")
        session = SessionFacts(**facts)
        account = session.account
        await trail.record(connection, "refresh", reason="repeated", account=account, actor=account, session=session.id)
        return self._pair(session, token)

    async def _refuse(self, connection: AsyncConnection, token_id: UUID) -> None:
        family = select(refresh_tokens.c.session_id).where(refresh_tokens.c.id == token_id)
        used = family.where(refresh_tokens.c.used_at.is_not(None))
        reused = await end_sessions(connection, sessions.c.id == used.scalar_subquery(), self._access_lifetime)
        act: Act = "refresh_reused" if reused else "refresh"
        reason: Reason | None = None if reused else "token_not_valid"
        owner = select(sessions.c.account_id, sessions.c.id).where(sessions.c.id == family.scalar_subquery())
        account, session = (await connection.execute(owner)).one_or_none() or (None, None)
        await trail.record(connection, act, "refused", reason, account=account, session=session)

    def _pair(self, facts: SessionFacts, token: UUID) -> TokenPair:
        return TokenPair(
            access_token=self._tokens.access(facts, token),
            refresh_token=self._tokens.refresh(facts, token),
            expires_in=self._tokens.access_lifetime(facts),
        )


def _facts_in(row: Any) -> SessionFacts:
    return SessionFacts(**{name: getattr(row, name) for name in SessionFacts.__dataclass_fields__})
