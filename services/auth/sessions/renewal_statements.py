"""Statements of sessions that go on with another pair: at a refresh, and at a step-up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Insert,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
    update,
)

from services.auth.accounts.read_model import is_active_session
from services.auth.sessions.statements import OF_PAIR, used_now
from services.auth.tables import identities, outbox, refresh_tokens, sessions
from shared.messaging.outbox import insert_events
from shared.tokens.access import PASSWORD

_SESSION = bindparam("session", type_=Uuid)
_TOKEN = bindparam("token", type_=Uuid)
_PARENT = bindparam("parent", type_=Uuid)
_ACCOUNT = bindparam("account", type_=Uuid)

# The fields of `services.auth.tokens.issue.SessionFacts`: those that stay the same, then those of each pair.
_SAME = (sessions.c.id, sessions.c.account_id.label("account"), sessions.c.epoch, sessions.c.began_at)
_NOW = (sessions.c.auth_time, sessions.c.amr, identities.c.email_verified, func.now().label("now"))
FACTS = (*_SAME, *_NOW)


def rotate_token(lifetime: timedelta, max_lifetime: timedelta) -> Select[Any]:
    """Parameters: `parent, token`, those of the client and of the event. Returns the session's facts, or no row."""
    used = _first_use(max_lifetime)
    expires_at = func.least(func.now() + lifetime, used.c.began_at + max_lifetime)
    issued = _successor(used, expires_at)
    prolonged = update(sessions).where(sessions.c.id == used.c.id).values(**used_now(expires_at))
    event = insert_events(outbox, used, account_id=used.c.account, actor_id=used.c.account, session_id=used.c.id)
    return select(used).add_cte(issued.cte("issued"), prolonged.cte("prolonged"), event.cte("event"))


def _successor(of: CTE, expires_at: ColumnElement[Any]) -> Insert:
    """The next refresh token of the session; `of` has the facts of its pair."""
    token = select(_TOKEN, of.c.id, _PARENT, expires_at, *(of.c[name] for name in OF_PAIR))
    return insert(refresh_tokens).from_select(["id", "session_id", "parent_id", "expires_at", *OF_PAIR], token)


def _first_use(max_lifetime: timedelta) -> CTE:
    token = refresh_tokens.c
    use = (
        update(refresh_tokens)
        .values(used_at=func.clock_timestamp())
        .where(token.id == _PARENT, token.used_at.is_(None), token.expires_at > func.clock_timestamp())
        .where(token.session_id == sessions.c.id, sessions.c.account_id == identities.c.id)
        .where(is_active_session(max_lifetime))
    )
    return use.returning(*FACTS).cte("used")


# The only unused token of a session; none while a refresh is under way, whose successor another statement sees.
USE_LATEST = (
    update(refresh_tokens)
    .values(used_at=func.clock_timestamp())
    .where(refresh_tokens.c.session_id == _SESSION, refresh_tokens.c.used_at.is_(None))
    .returning(refresh_tokens.c.id)
)

# A browser's session has no unused token. Its old cookie must not get the class that is proved now.
LEAVE_COOKIE = (
    update(sessions)
    .values(cookie_hash=None, gate_hash=None)
    .where(sessions.c.id == _SESSION, sessions.c.cookie_hash.is_not(None))
    .returning(sessions.c.id)
)


def step_up(lifetime: timedelta, max_lifetime: timedelta) -> Select[Any]:
    """Parameters: `session, account, parent, token, by_means`, those of the client and of the event. Returns the facts
    of the pair, or no row.
    """
    expires_at = func.least(func.now() + lifetime, sessions.c.began_at + max_lifetime)
    means, password = bindparam("by_means", type_=ARRAY(Text)), literal(PASSWORD, Text)
    # The password that began the session still holds; of other proofs only the new one does.
    amr = case((password == any_(sessions.c.amr), func.array_prepend(password, means)), else_=means)
    stepped = (
        update(sessions)
        .values(auth_time=func.now(), amr=amr, **used_now(expires_at))
        .where(sessions.c.id == _SESSION, sessions.c.account_id == _ACCOUNT, sessions.c.account_id == identities.c.id)
        .where(is_active_session(max_lifetime))
        .returning(*FACTS, sessions.c.expires_at)
        .cte("stepped")
    )
    issued = _successor(stepped, stepped.c.expires_at)
    return select(stepped).add_cte(issued.cte("issued"), insert_events(outbox).cte("event"))


def find_successor(grace: timedelta, max_lifetime: timedelta) -> Select[Any]:
    """The successor (`token`) of `parent`, if that was first used within the grace, and the facts as they were. None of
    a step-up: whoever holds the old token, perhaps a thief, would get the class that its owner has just proved.
    """
    successor, token = refresh_tokens.alias("successor"), refresh_tokens.c
    then = (*(successor.c[name] for name in OF_PAIR), successor.c.created_at.label("now"))
    return (
        select(successor.c.id.label("token"), *_SAME, *then)
        .join_from(refresh_tokens, successor, successor.c.parent_id == token.id)
        .join(sessions, sessions.c.id == token.session_id)
        .join(identities, identities.c.id == sessions.c.account_id)
        .where(token.id == _PARENT, token.used_at > func.clock_timestamp() - grace, is_active_session(max_lifetime))
        .where(successor.c.auth_time == token.auth_time, successor.c.amr == token.amr)
    )
