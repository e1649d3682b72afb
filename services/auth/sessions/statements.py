"""Statements of sessions and refresh tokens, each built once. Each locks the token before the session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    Text,
    Uuid,
    bindparam,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from services.auth.sessions.client import Client
from services.auth.tables import familiar_addresses, identities, outbox, refresh_tokens, sessions
from shared.messaging.outbox import insert_events

_SESSION = bindparam("session", type_=Uuid)
_TOKEN = bindparam("token", type_=Uuid)
_ACCOUNT = bindparam("account", type_=Uuid)

# An address is updated at most this often.
_NOTED_EVERY = timedelta(days=1)

# Facts of a session that each pair has for itself.
OF_PAIR = ["auth_time", "amr", "email_verified"]


def values_of(client: Client) -> dict[str, Any]:
    return {"address_shown": client.address, "agent_shown": client.user_agent}


def insert_session(lifetime: timedelta, *, by_password_alone: bool) -> Select[Any]:
    """Parameters: `session, token, account, of_epoch, by_means, from_address`, those of the client and of the event.
    Returns the facts that only the database knows.

    `by_password_alone`: no row unless the account's factors are still those of the parameter `of_version`. The lock
    waits for a change that is under way: it would neither ask this login for the new factor nor end its session.
    """
    means = bindparam("by_means", type_=ARRAY(Text))
    found = select(identities.c.email_verified).where(identities.c.id == _ACCOUNT)
    if by_password_alone:
        same = identities.c.factors_version == bindparam("of_version", type_=BigInteger)
        found = found.where(same).with_for_update(read=True, key_share=True)
    owner = found.cte("owner")
    used = used_now(func.now() + lifetime)
    row = select(_SESSION, _ACCOUNT, bindparam("of_epoch", type_=BigInteger), means, *used.values()).select_from(owner)
    session = insert(sessions).from_select(["id", "account_id", "epoch", "amr", *used], row)
    token = select(_TOKEN, _SESSION, func.now() + lifetime, func.now(), means, owner.c.email_verified)
    issued = insert(refresh_tokens).from_select(["id", "session_id", "expires_at", *OF_PAIR], token)
    parts = (
        session.cte("begun"),
        issued.cte("issued"),
        insert_events(outbox, owner).cte("event"),
        _address_remembered(),
    )
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


def used_now(expires_at: ColumnElement[Any]) -> dict[str, Any]:
    return {
        "expires_at": expires_at,
        "last_used_at": func.now(),
        "address": bindparam("address_shown", type_=Text),
        "user_agent": bindparam("agent_shown", type_=Text),
    }
