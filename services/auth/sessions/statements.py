"""The statements that begin a session, that swap a refresh token for its successor, and that find the successor again.

Each is everything at once. The order of their locks: token, then session. The rest is new rows, but for what is done
beside the beginning.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    Uuid,
    bindparam,
    func,
    insert,
    select,
    update,
)

from services.auth.accounts.read_model import session_lives
from services.auth.sessions.client import Client
from services.auth.tables import identities, outbox, refresh_tokens, sessions
from shared.database.prepared import Prepared
from shared.messaging.outbox import insertion

_SESSION = bindparam("session", type_=Uuid)
_TOKEN = bindparam("token", type_=Uuid)
_PARENT = bindparam("parent", type_=Uuid)

# The fields of `services.auth.tokens.issue.SessionFacts`, but for `now`.
_FACTS = (
    sessions.c.id,
    sessions.c.account_id.label("account"),
    sessions.c.epoch,
    sessions.c.auth_time,
    sessions.c.amr,
)


def values_of(client: Client) -> dict[str, Any]:
    return {"address_shown": client.address, "agent_shown": client.user_agent}


@cache
def beginning(lifetime: timedelta, beside: tuple[CTE, ...]) -> Prepared:
    """Parameters: `session, token, account, of_epoch, by_means`, those of the client and of the event. Gives `now`."""
    session = insert(sessions).values(
        id=_SESSION,
        account_id=bindparam("account", type_=Uuid),
        epoch=bindparam("of_epoch", type_=BigInteger),
        amr=bindparam("by_means", type_=ARRAY(Text)),
        **_used_now(func.now() + lifetime),
    )
    token = insert(refresh_tokens).values(id=_TOKEN, session_id=_SESSION, expires_at=func.now() + lifetime)
    parts = (session.cte("begun"), token.cte("issued"), insertion(outbox).cte("told"))
    return Prepared(select(func.now().label("now")).add_cte(*parts, *beside))


def renewal(lifetime: timedelta, max_lifetime: timedelta) -> Prepared:
    """With the parameters `parent, token`, those of the client and of the event; gives the session's facts, or none."""
    used = _first_use(max_lifetime)
    expires_at = func.least(func.now() + lifetime, used.c.auth_time + max_lifetime)
    token = select(_TOKEN, used.c.id, _PARENT, expires_at)
    issued = insert(refresh_tokens).from_select(["id", "session_id", "parent_id", "expires_at"], token)
    prolonged = update(sessions).where(sessions.c.id == used.c.id).values(**_used_now(expires_at))
    told = insertion(outbox, used, account_id=used.c.account, actor_id=used.c.account, session_id=used.c.id)
    return Prepared(select(used).add_cte(issued.cte("issued"), prolonged.cte("prolonged"), told.cte("told")))


def _first_use(max_lifetime: timedelta) -> CTE:
    """A second use finds the token used."""
    token = refresh_tokens.c
    use = (
        update(refresh_tokens)
        .values(used_at=func.clock_timestamp())
        .where(token.id == _PARENT, token.used_at.is_(None), token.expires_at > func.clock_timestamp())
        .where(token.session_id == sessions.c.id, sessions.c.account_id == identities.c.id)
        .where(session_lives(max_lifetime))
    )
    return use.returning(*_FACTS, func.now().label("now")).cte("used")


def repetition(grace: timedelta, max_lifetime: timedelta) -> Select[Any]:
    """The successor's id (`token`) of `parent`, if first used within the grace, and the facts as they were."""
    successor, token = refresh_tokens.alias("successor"), refresh_tokens.c
    return (
        select(successor.c.id.label("token"), *_FACTS, successor.c.created_at.label("now"))
        .join_from(refresh_tokens, successor, successor.c.parent_id == token.id)
        .join(sessions, sessions.c.id == token.session_id)
        .join(identities, identities.c.id == sessions.c.account_id)
        .where(token.id == _PARENT, token.used_at > func.clock_timestamp() - grace, session_lives(max_lifetime))
    )


def _used_now(expires_at: ColumnElement[Any]) -> dict[str, Any]:
    return {
        "expires_at": expires_at,
        "last_used_at": func.now(),
        "address": bindparam("address_shown", type_=Text),
        "user_agent": bindparam("agent_shown", type_=Text),
    }
