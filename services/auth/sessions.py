"""Sessions and their refresh-token families.

A refresh token is used by one UPDATE that finds it unused; whoever comes second finds nothing. A second use within
the grace is taken for a client that lost our answer: it gets one more pair, once, provided that nobody has used the
first answer, which is thereby retired. Any other second use is theft, and ends the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.identities import session_lives
from services.auth.settings import AuthSettings
from services.auth.tables import identities, refresh_tokens, sessions
from services.auth.tokens import SessionFacts, Tokens


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
        self._grace = timedelta(seconds=settings.refresh_grace)

    async def begin(self, connection: AsyncConnection, account: UUID, epoch: int, amr: list[str]) -> TokenPair:
        new = insert(sessions).values(
            id=uuid7(), account_id=account, epoch=epoch, amr=amr, expires_at=func.now() + self._lifetime
        )
        row = (await connection.execute(new.returning(*_FACTS))).one()
        return await self._issue(connection, row, parent=None)

    async def rotate(self, connection: AsyncConnection, token_id: UUID) -> TokenPair | None:
        """A new pair, or None. The caller commits either way: a None may have ended the session."""
        row = await self._use(connection, token_id)
        if row is None:
            row = await self._use_again(connection, token_id)
        if row is None:
            await self._end_family_of(connection, token_id)
            return None
        await connection.execute(
            update(sessions).where(sessions.c.id == row.id).values(expires_at=func.now() + self._lifetime)
        )
        return await self._issue(connection, row, parent=token_id)

    async def _use(self, connection: AsyncConnection, token_id: UUID) -> Row[Any] | None:
        token = refresh_tokens.c
        use = (
            update(refresh_tokens)
            .values(used_at=func.clock_timestamp())
            .where(token.id == token_id, token.used_at.is_(None), token.expires_at > func.clock_timestamp())
            .where(token.session_id == sessions.c.id, sessions.c.account_id == identities.c.id, session_lives())
            .returning(*_FACTS)
        )
        return (await connection.execute(use)).one_or_none()

    async def _use_again(self, connection: AsyncConnection, token_id: UUID) -> Row[Any] | None:
        token = refresh_tokens.c
        again = (
            update(refresh_tokens)
            .values(graced_at=func.clock_timestamp())
            .where(token.id == token_id, token.graced_at.is_(None))
            .where(token.used_at > func.clock_timestamp() - self._grace)
            .where(token.session_id == sessions.c.id, sessions.c.account_id == identities.c.id, session_lives())
            .returning(*_FACTS)
        )
        row = (await connection.execute(again)).one_or_none()
        retire = (
            update(refresh_tokens)
            .values(used_at=func.clock_timestamp(), graced_at=func.clock_timestamp())
            .where(token.parent_id == token_id, token.used_at.is_(None))
        )
        if row is None or (await connection.execute(retire)).rowcount == 0:
            return None
        return row

    async def _end_family_of(self, connection: AsyncConnection, token_id: UUID) -> None:
        family = select(refresh_tokens.c.session_id).where(
            refresh_tokens.c.id == token_id, refresh_tokens.c.used_at.is_not(None)
        )
        await _end(connection, sessions.c.id == family.scalar_subquery())

    async def _issue(self, connection: AsyncConnection, row: Row[Any], parent: UUID | None) -> TokenPair:
        facts = SessionFacts(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
        token_id = uuid7()
        await connection.execute(
            insert(refresh_tokens).values(
                id=token_id, session_id=facts.id, parent_id=parent, expires_at=func.now() + self._lifetime
            )
        )
        return TokenPair(
            access_token=self._tokens.access(facts),
            refresh_token=self._tokens.refresh(facts.account, token_id, facts.now),
            expires_in=self._access_lifetime,
        )


_FACTS = (
    sessions.c.id,
    sessions.c.account_id.label("account"),
    sessions.c.epoch,
    sessions.c.auth_time,
    sessions.c.amr,
    func.now().label("now"),
)


async def admin_if_alive(connection: AsyncConnection, session: UUID, account: UUID) -> bool | None:
    """Whether the owner of this session is an administrator; None when the session does not live."""
    query = (
        select(identities.c.is_admin)
        .join_from(sessions, identities, identities.c.id == sessions.c.account_id)
        .where(sessions.c.id == session, sessions.c.account_id == account, session_lives())
    )
    return (await connection.execute(query)).scalar_one_or_none()


async def end(connection: AsyncConnection, session: UUID) -> None:
    await _end(connection, sessions.c.id == session)


async def end_all(connection: AsyncConnection, account: UUID) -> None:
    await _end(connection, sessions.c.account_id == account)


async def _end(connection: AsyncConnection, which: ColumnElement[bool]) -> None:
    ended = update(sessions).where(which, sessions.c.ended_at.is_(None))
    await connection.execute(ended.values(ended_at=func.now()))
