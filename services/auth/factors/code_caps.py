"""Statements of the hourly caps on mailed codes, by account and by mailbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    LargeBinary,
    Select,
    Uuid,
    bindparam,
    func,
    select,
    union_all,
)

from services.auth.tables import challenges

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


LAST_HOUR = last_hour()
