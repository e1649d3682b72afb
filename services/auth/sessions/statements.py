"""Statements of sessions and refresh tokens, each built once. Each locks the token before the session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Insert,
    LargeBinary,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from services.auth.accounts.read_model import is_active_session
from services.auth.sessions.client import Client
from services.auth.tables import familiar_addresses, identities, outbox, refresh_tokens, sessions
from shared.messaging.outbox import insert_events
from shared.tokens.access import PASSWORD

_SESSION = bindparam("session", type_=Uuid)
_TOKEN = bindparam("token", type_=Uuid)
_PARENT = bindparam("parent", type_=Uuid)
_ACCOUNT = bindparam("account", type_=Uuid)

# An address is updated at most this often.
_NOTED_EVERY = timedelta(days=1)

# The fields of `services.auth.tokens.issue.SessionFacts` that stay the same for the whole session, then those that
# each pair has of its own.
_SAME = (sessions.c.id, sessions.c.account_id.label("account"), sessions.c.epoch, sessions.c.began_at)
_NOW = (sessions.c.auth_time, sessions.c.amr, identities.c.email_verified, func.now().label("now"))
_OF_PAIR = ["auth_time", "amr", "email_verified"]


def values_of(client: Client) -> dict[str, Any]:
    return {"address_shown": client.address, "agent_shown": client.user_agent}


def insert_session(lifetime: timedelta) -> Select[Any]:
    """Parameters: `session, token, account, of_epoch, by_means, from_address`, those of the client and of the event.
    Returns the facts that only the database knows.
    """
    means = bindparam("by_means", type_=ARRAY(Text))
    session = insert(sessions).values(
        id=_SESSION,
        account_id=_ACCOUNT,
        epoch=bindparam("of_epoch", type_=BigInteger),
        amr=means,
        **_used_now(func.now() + lifetime),
    )
    owner = select(identities.c.email_verified).where(identities.c.id == _ACCOUNT).cte("owner")
    token = select(_TOKEN, _SESSION, func.now() + lifetime, func.now(), means, owner.c.email_verified)
    issued = insert(refresh_tokens).from_select(["id", "session_id", "expires_at", *_OF_PAIR], token)
    parts = (session.cte("begun"), issued.cte("issued"), insert_events(outbox).cte("event"), _address_remembered())
    return select(func.now().label("now"), owner.c.email_verified).add_cte(*parts)


def _address_remembered() -> CTE:
    address = bindparam("from_address", type_=LargeBinary)
    lately = exists().where(
        familiar_addresses.c.account_id == _ACCOUNT,
        familiar_addresses.c.address_hash == address,
        familiar_addresses.c.last_at >= func.now() - _NOTED_EVERY,
    )
    # The look-up comes first: an upsert would always lock the row, which is a write.
    row = select(_ACCOUNT, address).where(~lately)
    new = upsert(familiar_addresses).from_select(["account_id", "address_hash"], row)
    return new.on_conflict_do_update(index_elements=["account_id", "address_hash"], set_={"last_at": func.now()}).cte(
        "remembered"
    )


def rotate_token(lifetime: timedelta, max_lifetime: timedelta) -> Select[Any]:
    """Parameters: `parent, token`, those of the client and of the event. Returns the session's facts, or no row."""
    used = _first_use(max_lifetime)
    expires_at = func.least(func.now() + lifetime, used.c.began_at + max_lifetime)
    issued = _successor(used, expires_at)
    prolonged = update(sessions).where(sessions.c.id == used.c.id).values(**_used_now(expires_at))
    event = insert_events(outbox, used, account_id=used.c.account, actor_id=used.c.account, session_id=used.c.id)
    return select(used).add_cte(issued.cte("issued"), prolonged.cte("prolonged"), event.cte("event"))


def _successor(of: CTE, expires_at: ColumnElement[Any]) -> Insert:
    """The next refresh token of the session; `of` has the facts of its pair."""
    token = select(_TOKEN, of.c.id, _PARENT, expires_at, *(of.c[name] for name in _OF_PAIR))
    return insert(refresh_tokens).from_select(["id", "session_id", "parent_id", "expires_at", *_OF_PAIR], token)


def _first_use(max_lifetime: timedelta) -> CTE:
    token = refresh_tokens.c
    use = (
        update(refresh_tokens)
        .values(used_at=func.clock_timestamp())
        .where(token.id == _PARENT, token.used_at.is_(None), token.expires_at > func.clock_timestamp())
        .where(token.session_id == sessions.c.id, sessions.c.account_id == identities.c.id)
        .where(is_active_session(max_lifetime))
    )
    return use.returning(*_SAME, *_NOW).cte("used")


# The only unused token of a session; none while a refresh is under way, whose successor another statement sees.
USE_LATEST = (
    update(refresh_tokens)
    .values(used_at=func.clock_timestamp())
    .where(refresh_tokens.c.session_id == _SESSION, refresh_tokens.c.used_at.is_(None))
    .returning(refresh_tokens.c.id)
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
        .values(auth_time=func.now(), amr=amr, **_used_now(expires_at))
        .where(sessions.c.id == _SESSION, sessions.c.account_id == _ACCOUNT, sessions.c.account_id == identities.c.id)
        .where(is_active_session(max_lifetime))
        .returning(*_SAME, *_NOW, sessions.c.expires_at)
        .cte("stepped")
    )
    issued = _successor(stepped, stepped.c.expires_at)
    return select(stepped).add_cte(issued.cte("issued"), insert_events(outbox).cte("event"))


def find_successor(grace: timedelta, max_lifetime: timedelta) -> Select[Any]:
    """The successor (`token`) of `parent`, if that was first used within the grace, and the facts as they were."""
    successor, token = refresh_tokens.alias("successor"), refresh_tokens.c
    then = (*(successor.c[name] for name in _OF_PAIR), successor.c.created_at.label("now"))
    return (
        select(successor.c.id.label("token"), *_SAME, *then)
        .join_from(refresh_tokens, successor, successor.c.parent_id == token.id)
        .join(sessions, sessions.c.id == token.session_id)
        .join(identities, identities.c.id == sessions.c.account_id)
        .where(token.id == _PARENT, token.used_at > func.clock_timestamp() - grace, is_active_session(max_lifetime))
    )


def _used_now(expires_at: ColumnElement[Any]) -> dict[str, Any]:
    return {
        "expires_at": expires_at,
        "last_used_at": func.now(),
        "address": bindparam("address_shown", type_=Text),
        "user_agent": bindparam("agent_shown", type_=Text),
    }
