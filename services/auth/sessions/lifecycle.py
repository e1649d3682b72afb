"""Sessions and their refresh-token families; reuse after the grace is theft (docs/decisions/0003-refresh-grace.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import is_active_session
from services.auth.sessions.client import Client
from services.auth.sessions.statements import find_successor, insert_session, rotate_token, values_of
from services.auth.settings import AuthSettings
from services.auth.tables import identities, outbox, refresh_tokens, sessions, trail
from services.auth.tokens.issue import SessionFacts, Tokens
from shared.audit import note, outbox_params
from shared.audit_words import Act, Reason
from shared.messaging.events import SessionEnded
from shared.messaging.outbox import add, event_params

# People read this list; a script that logs in makes thousands.
_MOST_LISTED = 200

# Sessions per event, about 20 kB.
_MOST_TOLD = 500


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
        self._rotate_token = rotate_token(self._lifetime, self._max_lifetime)
        self._find_successor = find_successor(timedelta(seconds=settings.refresh_grace), self._max_lifetime)

    async def begin(
        self,
        connection: AsyncConnection,
        account: UUID,
        epoch: int,
        amr: list[str],
        client: Client,
        address_hash: bytes,
    ) -> TokenPair:
        """One statement. `amr`: authentication methods (RFC 8176). The address becomes a known one."""
        session, token = uuid7(), uuid7()
        event = trail.event("login", account=account, actor=account, session=session)
        values = {"account": account, "of_epoch": epoch, "by_means": amr, "session": session, "token": token}
        values |= values_of(client) | outbox_params(connection, event) | {"from_address": address_hash}
        now = (await connection.execute(self._insert_session, values)).scalar_one()
        facts = SessionFacts(id=session, account=account, epoch=epoch, auth_time=now, amr=amr, now=now)
        return self._pair(facts, token)

    async def rotate(self, connection: AsyncConnection, token_id: UUID, client: Client) -> TokenPair | None:
        token, event = uuid7(), trail.event("refresh")
        values = {"parent": token_id, "token": token} | values_of(client) | event_params(event)
        row = (await connection.execute(self._rotate_token, values)).mappings().one_or_none()
        if row is None:
            return None
        facts = SessionFacts(**row)
        whose = {"account_id": facts.account, "actor_id": facts.account, "session_id": facts.id}
        note(connection, event.model_copy(update=whose))
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
        act, reason = _REFUSED[await self._end(connection, sessions.c.id == used.scalar_subquery())]
        whose = select(sessions.c.account_id, sessions.c.id).where(sessions.c.id == family.scalar_subquery())
        account, session = (await connection.execute(whose)).one_or_none() or (None, None)
        await trail.record(connection, act, "refused", reason, account=account, session=session)

    async def end(self, connection: AsyncConnection, session: UUID) -> None:
        await self._end(connection, sessions.c.id == session)

    async def end_all(self, connection: AsyncConnection, account: UUID) -> None:
        await self._end(connection, sessions.c.account_id == account)

    async def end_own(self, connection: AsyncConnection, session: UUID, account: UUID) -> bool:
        own = and_(sessions.c.id == session, sessions.c.account_id == account, identities.c.id == account)
        return await self._end(connection, and_(own, is_active_session(self._max_lifetime)))

    async def _end(self, connection: AsyncConnection, which: ColumnElement[bool]) -> bool:
        """`which`: of one account. The event holds ids, in the same transaction, so event order does not matter."""
        until = (func.clock_timestamp() + timedelta(seconds=self._access_lifetime)).label("until")
        ended = (
            update(sessions)
            .values(ended_at=func.now())
            .where(which, sessions.c.ended_at.is_(None))
            .returning(sessions.c.id, sessions.c.account_id, until)
        )
        rows = (await connection.execute(ended)).all()
        for first in range(0, len(rows), _MOST_TOLD):
            told = rows[first : first + _MOST_TOLD]
            event = SessionEnded(
                account_id=told[0].account_id,
                session_ids=tuple(row.id for row in told),
                until=max(row.until for row in told),
            )
            await add(connection, outbox, event)
        return bool(rows)

    async def active(self, connection: AsyncConnection, account: UUID) -> Sequence[RowMapping]:
        shown: list[ColumnElement[Any]] = [
            sessions.c.id,
            sessions.c.auth_time.label("created_at"),
            sessions.c.last_used_at,
            sessions.c.address,
            sessions.c.user_agent,
        ]
        query = (
            select(*shown)
            .join(identities, identities.c.id == sessions.c.account_id)
            .where(sessions.c.account_id == account, is_active_session(self._max_lifetime))
            .order_by(sessions.c.auth_time.desc(), sessions.c.id.desc())
            .limit(_MOST_LISTED)
        )
        return (await connection.execute(query)).mappings().all()

    def _pair(self, facts: SessionFacts, token: UUID) -> TokenPair:
        return TokenPair(
            access_token=self._tokens.access(facts, token),
            refresh_token=self._tokens.refresh(facts, token),
            expires_in=self._tokens.access_lifetime(facts),
        )


_REFUSED: dict[bool, tuple[Act, Reason | None]] = {
    True: ("refresh_reused", None),
    False: ("refresh", "token_not_valid"),
}
