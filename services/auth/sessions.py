"""Sessions and their refresh-token families.

A refresh token is used by one UPDATE that finds it unused; whoever comes second finds nothing. A second use within
the grace is taken for a client that lost our answer: it gets one more pair, once, provided that nobody has used the
first answer, which is thereby retired. Any other second use is theft, and ends the session.

Who checks access tokens without asking us is told of a session that ends: in the transaction that ends it, and by its
id, for nothing else tells it from those that live on, in whatever order the events arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.clients import Client
from services.auth.identities import session_lives
from services.auth.settings import AuthSettings
from services.auth.tables import identities, outbox, refresh_tokens, sessions, trail
from services.auth.tokens import SessionFacts, Tokens
from shared.events import Act, Reason, SessionEnded
from shared.outbox import add

# A list for a person to read; somebody who logs in from a script has thousands.
_MOST_LISTED = 200

# Sessions in one event: 20 kB.
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
        self._grace = timedelta(seconds=settings.refresh_grace)

    async def begin(
        self, connection: AsyncConnection, account: UUID, epoch: int, amr: list[str], client: Client
    ) -> TokenPair:
        new = insert(sessions).values(id=uuid7(), account_id=account, epoch=epoch, amr=amr, **self._used_by(client))
        row = (await connection.execute(new.returning(*_FACTS))).one()
        await trail.record(connection, "login", account=account, actor=account, session=row.id)
        return await self._issue(connection, row, parent=None)

    async def rotate(self, connection: AsyncConnection, token_id: UUID, client: Client) -> TokenPair | None:
        """A new pair, or None. The caller commits either way: a None may have ended the session."""
        row = await self._use(connection, token_id)
        if row is None:
            row = await self._use_again(connection, token_id)
        if row is None:
            await self._refuse(connection, token_id)
            return None
        await trail.record(connection, "refresh", account=row.account, actor=row.account, session=row.id)
        await connection.execute(update(sessions).where(sessions.c.id == row.id).values(**self._used_by(client)))
        return await self._issue(connection, row, parent=token_id)

    def _used_by(self, client: Client) -> dict[str, Any]:
        return {
            "expires_at": func.now() + self._lifetime,
            "last_used_at": func.now(),
            "address": client.address,
            "user_agent": client.user_agent,
        }

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

    async def _refuse(self, connection: AsyncConnection, token_id: UUID) -> None:
        """End the family, if the token has been used."""
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
        """Whether it was a living session of this account, which is now ended."""
        own = and_(sessions.c.id == session, sessions.c.account_id == account, sessions.c.expires_at > func.now())
        return await self._end(connection, and_(own, sessions.c.account_id == identities.c.id, session_lives()))

    async def _end(self, connection: AsyncConnection, which: ColumnElement[bool]) -> bool:
        """Of one account; whether there was one to end. No session is ended, or told of, twice."""
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

# What the audit trail calls a refresh token that was refused, by whether its session has been ended for it.
_REFUSED: dict[bool, tuple[Act, Reason | None]] = {
    True: ("refresh_reused", None),
    False: ("refresh", "token_not_valid"),
}


async def living(connection: AsyncConnection, account: UUID) -> Sequence[Row[Any]]:
    """The newest sessions of the account, newest first: `id, created_at, last_used_at, address, user_agent`."""
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
        .where(sessions.c.account_id == account, sessions.c.expires_at > func.now(), session_lives())
        .order_by(sessions.c.auth_time.desc(), sessions.c.id.desc())
        .limit(_MOST_LISTED)
    )
    return (await connection.execute(query)).all()
