"""Statements for challenges that many clients run at once; each is built once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    LargeBinary,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    insert,
    select,
    true,
    union_all,
    update,
)

from services.auth.accounts.read_model import may_log_in
from services.auth.tables import challenges, identities, outbox
from shared.messaging.outbox import insert_events

_CHALLENGE = bindparam("challenge", type_=Uuid)
_ACCOUNT = bindparam("account", type_=Uuid)
_MAILBOX = bindparam("mailbox", type_=LargeBinary)


def lock_account_and_mailbox(are_off: Callable[[ColumnElement[UUID]], ColumnElement[bool]]) -> Select[Any]:
    """Locks the account, then its mailbox. Lock numbers may collide; the other one then waits in vain."""
    locks = (func.pg_advisory_xact_lock(bindparam(name, type_=BigInteger)) for name in ("of_account", "of_mailbox"))
    return select(func.now().label("now"), are_off(_ACCOUNT).label("off"), *locks)


def lock_values(account: UUID, mailbox: bytes) -> dict[str, Any]:
    parts = {"of_account": account.bytes[-8:], "of_mailbox": mailbox[:8]}
    return {"account": account} | {name: int.from_bytes(part, signed=True) for name, part in parts.items()}


def last_hour() -> CompoundSelect[Any]:
    """Codes `sent` to account and mailbox; `frees_in`: seconds. A challenge counts whole until its latest code is too
    old.
    """
    hour = timedelta(hours=1)
    sent = func.coalesce(func.sum(challenges.c.resends + 1), 0).label("sent")
    frees_in = func.extract("epoch", func.min(challenges.c.sent_at) + hour - func.now()).label("frees_in")
    keys = (challenges.c.account_id == _ACCOUNT, challenges.c.email_key_hash == _MAILBOX)
    lately = challenges.c.sent_at > func.now() - hour
    return union_all(*(select(sent, frees_in).where(which, lately) for which in keys))


def insert_challenge(lifetime: timedelta) -> Select[Any]:
    """Parameters: `challenge, account, mailbox, of_epoch, mac, code_event` and those of the events."""
    new = insert(challenges).values(
        id=_CHALLENGE,
        account_id=_ACCOUNT,
        email_key_hash=_MAILBOX,
        epoch=bindparam("of_epoch", type_=BigInteger),
        code_mac=bindparam("mac", type_=LargeBinary),
        expires_at=func.now() + lifetime,
        code_event_id=bindparam("code_event", type_=Uuid),
    )
    return select(func.now()).add_cte(new.cte("challenge"), insert_events(outbox).cte("event"))


def verify_code(counted: CTE, still_open: ColumnElement[bool]) -> Select[Any]:
    """Parameters: `challenge`, `macs`. No row if codes are off or the challenge is gone; `epoch` is None if nothing was
    compared, `used_at` if the code was wrong. `counted` runs and locks first: the comparison sees the current state.
    `email` is where the code went: a changed address has another epoch.
    """
    right = challenges.c.code_mac == any_(bindparam("macs", type_=ARRAY(LargeBinary)))
    attempt = (
        update(challenges)
        .values(
            attempts=challenges.c.attempts + 1,
            used_at=case((right, func.clock_timestamp()), else_=None),
            # A right code proves the delivery, whatever was reported.
            code_outcome=case((right, "delivered"), else_=challenges.c.code_outcome),
        )
        .where(challenges.c.id == _CHALLENGE, still_open, of_its_account(), exists(counted))
        .returning(challenges.c.epoch, challenges.c.used_at, identities.c.email, identities.c.email_verified)
        .cte("attempt")
    )
    return select(counted.c.account_id, counted.c.failures, attempt).select_from(counted.outerjoin(attempt, true()))


def is_open(most_attempts: int) -> ColumnElement[bool]:
    return and_(
        challenges.c.used_at.is_(None),
        challenges.c.attempts < most_attempts,
        challenges.c.expires_at > func.clock_timestamp(),
    )


def of_its_account() -> ColumnElement[bool]:
    return and_(
        identities.c.id == challenges.c.account_id,
        identities.c.session_epoch == challenges.c.epoch,
        may_log_in(),
    )


LAST_HOUR = last_hour()
