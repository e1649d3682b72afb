"""Statements of browsers' sessions. Each locks the token before the session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Label,
    LargeBinary,
    Select,
    Update,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    func,
    select,
    update,
)

from services.auth.accounts.read_model import is_active_session
from services.auth.sessions.active import active_columns
from services.auth.sessions.renewal_statements import FACTS
from services.auth.sessions.statements import used_now
from services.auth.settings import AuthSettings
from services.auth.tables import identities, outbox, refresh_tokens, sessions
from shared.messaging.outbox import insert_events

# Else each check of forward-auth would be a write.
NOTED_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """How long sessions of browsers live: without use, and in all. `kept`: of whoever asked to be kept logged in."""

    idle: timedelta
    kept_idle: timedelta
    lifetime: timedelta
    kept_lifetime: timedelta
    longest: timedelta

    @classmethod
    def of(cls, settings: AuthSettings) -> Self:
        longest = settings.session_max_lifetime
        return cls(
            idle=timedelta(seconds=settings.cookie_idle),
            kept_idle=timedelta(seconds=settings.kept_cookie_idle),
            lifetime=timedelta(seconds=min(settings.cookie_lifetime, longest)),
            kept_lifetime=timedelta(seconds=min(settings.kept_cookie_lifetime, longest)),
            longest=timedelta(seconds=longest),
        )

    def end(self, kept: ColumnElement[bool]) -> ColumnElement[Any]:
        """The moment at which a session ends, however much it is used."""
        return sessions.c.began_at + case((kept, self.kept_lifetime), else_=self.lifetime)

    def expires_at(self, kept: ColumnElement[bool]) -> ColumnElement[Any]:
        """The expiry of a session that is used now."""
        return func.least(func.now() + self._idle(kept), self.end(kept))

    def hold(self) -> ColumnElement[bool]:
        """`expires_at` respects them, unless a setting was lowered since."""
        kept = sessions.c.kept
        return and_(sessions.c.last_used_at + self._idle(kept) > func.now(), self.end(kept) > func.now())

    def _idle(self, kept: ColumnElement[bool]) -> ColumnElement[Any]:
        return case((kept, self.kept_idle), else_=self.idle)


def swap(lives: Lives) -> Select[Any]:
    """Parameters: `token, keep, cookie, gate`, and those of the event. Returns `id, account_id, kept, left` of the
    session, or no row: the token does not hold, or its session is older than one of a browser may be.
    """
    token = refresh_tokens.c
    kept = func.coalesce(bindparam("keep", type_=Boolean), sessions.c.kept)
    used = (
        update(refresh_tokens)
        .values(used_at=func.clock_timestamp())
        .where(token.id == bindparam("token", type_=Uuid), token.used_at.is_(None))
        .where(token.expires_at > func.clock_timestamp())
        .where(token.session_id == sessions.c.id, sessions.c.account_id == identities.c.id)
        .where(is_active_session(lives.longest), lives.end(kept) > func.now())
        .returning(sessions.c.id, kept.label("kept"))
        .cte("used")
    )
    swapped = (
        update(sessions)
        .values(
            cookie_hash=bindparam("cookie", type_=LargeBinary),
            gate_hash=bindparam("gate", type_=LargeBinary),
            kept=used.c.kept,
            last_used_at=func.now(),
            expires_at=lives.expires_at(used.c.kept),
        )
        # Asked again: it may have ended while this waited for it.
        .where(sessions.c.id == used.c.id, sessions.c.ended_at.is_(None))
        .returning(sessions.c.id, sessions.c.account_id, sessions.c.kept, _left(lives))
        .cte("swapped")
    )
    of_it = {"account_id": swapped.c.account_id, "actor_id": swapped.c.account_id, "session_id": swapped.c.id}
    return select(swapped).add_cte(insert_events(outbox, swapped, **of_it).cte("event"))


def find_session(cookie: ColumnElement[Any], lives: Lives, admin_staleness: timedelta) -> Select[Any]:
    """The active sessions whose column `cookie` is one of the parameter `wanted`: its value, the fields of
    `ActiveSession`, those of `SessionFacts`, its last use, and the time that is left.
    """
    facts = (*active_columns(admin_staleness), *FACTS, sessions.c.last_used_at, _left(lives))
    return (
        select(cookie.label("cookie"), *facts)
        .join_from(sessions, identities, identities.c.id == sessions.c.account_id)
        .where(cookie == any_(bindparam("wanted", type_=ARRAY(LargeBinary))))
        .where(is_active_session(lives.longest), lives.hold())
    )


def prolong(lives: Lives, *, by_page: bool) -> Update:
    """Parameters: `session`, and for a page those of its client. A gateway asks by itself, not through the browser."""
    expires_at = lives.expires_at(sessions.c.kept)
    used = used_now(expires_at) if by_page else {"expires_at": expires_at, "last_used_at": func.now()}
    return (
        update(sessions)
        .values(**used)
        .where(sessions.c.id == bindparam("session", type_=Uuid), sessions.c.ended_at.is_(None))
        .where(sessions.c.last_used_at <= func.now() - NOTED_EVERY)
    )


def _left(lives: Lives) -> Label[timedelta]:
    return (lives.end(sessions.c.kept) - func.now()).label("left")
