"""Sessions and their refresh-token families; reuse after the grace is theft (docs/decisions/0003-refresh-grace.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.sessions.client import Client
from services.auth.sessions.ending import end_sessions
from services.auth.sessions.renewal_statements import find_successor, rotate_token
from services.auth.sessions.statements import insert_session, values_of
from services.auth.settings import AuthSettings
from services.auth.tables import refresh_tokens, sessions, trail
from services.auth.tokens.issue import SessionFacts, Tokens
from shared.audit import log_committed, note
from shared.audit_words import Act, Reason
from shared.database.pool import Database
from shared.database.prepared import Prepared
from shared.messaging.outbox import event_params


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
        self._insert_session = insert_session(self._lifetime, by_password_alone=False)
        self._insert_by_password = insert_session(self._lifetime, by_password_alone=True)
        self._rotate_token = Prepared(rotate_token(self._lifetime, self._max_lifetime))
        self._grace = timedelta(seconds=settings.refresh_grace)
        self._find_successor = find_successor(self._grace, self._max_lifetime)

    async def begin(
        self,
        connection: AsyncConnection,
        account: UUID,
        epoch: int,
        amr: Sequence[str],
        client: Client,
        address_hash: bytes,
        factors_version: int | None = None,
    ) -> TokenPair | None:
        """One statement. `amr`: authentication methods (RFC 8176). The address becomes a known one. `factors_version`:
        for a login by password alone; None if the account's factors have changed since.
        """
        session, token = uuid7(), uuid7()
        event = trail.event("login", account=account, actor=account, session=session)
        values = {"account": account, "of_epoch": epoch, "by_means": list(amr), "session": session, "token": token}
        values |= values_of(client) | event_params(event) | {"from_address": address_hash}
        statement = self._insert_session
        if factors_version is not None:
            statement, values["of_version"] = self._insert_by_password, factors_version
        begun = (await connection.execute(statement, values)).mappings().one_or_none()
        if begun is None:
            return None
        note(connection, event)
        now = begun["now"]
        facts = SessionFacts(
            id=session, account=account, epoch=epoch, began_at=now, auth_time=now, amr=list(amr), **begun
        )
        return self.pair(facts, token)

    async def rotate(self, database: Database, token_id: UUID, client: Client) -> TokenPair | None:
        """None if the token has been used: also if this statement is repeated because its answer was lost."""
        token, event = uuid7(), trail.event("refresh", account=None)
        values = {"parent": token_id, "token": token} | values_of(client) | event_params(event)
        rows = await self._rotate_token.run(database, values)
        if not rows:
            return None
        facts = SessionFacts.in_row(rows[0])
        owner = {"account_id": facts.account, "actor_id": facts.account, "session_id": facts.id}
        log_committed(event.model_copy(update=owner))
        return self.pair(facts, token)

    async def repeat(self, connection: AsyncConnection, token_id: UUID) -> TokenPair | None:
        """Returns the pair that `rotate` gave. The caller commits also after None, which may have ended the session."""
        row = (await connection.execute(self._find_successor, {"parent": token_id})).mappings().one_or_none()
        if row is None:
            await self.refuse(connection, token_id)
            return None
        facts = dict(row)
        token = facts.pop("token")
        session = SessionFacts(**facts)
        account = session.account
        await trail.record(connection, "refresh", reason="repeated", account=account, actor=account, session=session.id)
        return self.pair(session, token)

    async def refuse(self, connection: AsyncConnection, token_id: UUID) -> None:
        """A reuse ends the session, but not within the grace: a tab that refreshed while another one stepped up."""
        family = select(refresh_tokens.c.session_id).where(refresh_tokens.c.id == token_id)
        used = family.where(refresh_tokens.c.used_at <= func.clock_timestamp() - self._grace)
        reused = await end_sessions(connection, sessions.c.id == used.scalar_subquery(), self._access_lifetime)
        act: Act = "refresh_reused" if reused else "refresh"
        reason: Reason | None = None if reused else "token_not_valid"
        owner = select(sessions.c.account_id, sessions.c.id).where(sessions.c.id == family.scalar_subquery())
        account, session = (await connection.execute(owner)).one_or_none() or (None, None)
        await trail.record(connection, act, "refused", reason, account=account, session=session)

    def pair(self, facts: SessionFacts, token: UUID) -> TokenPair:
        return TokenPair(
            access_token=self._tokens.access(facts, token),
            refresh_token=self._tokens.refresh(facts, token),
            expires_in=self._tokens.access_lifetime(facts),
        )
