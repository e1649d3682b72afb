"""The statements of a challenge that many clients run at once, each made once."""

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


def locking(are_off: Callable[[ColumnElement[UUID]], ColumnElement[bool]]) -> Select[Any]:
    """Two locks, of the account before that of its mailbox; each may be another's too, who then waits in vain."""
    locks = (func.pg_advisory_xact_lock(bindparam(name, type_=BigInteger)) for name in ("of_account", "of_mailbox"))
    return select(func.now().label("now"), are_off(_ACCOUNT).label("off"), *locks)


def lock_values(account: UUID, mailbox: bytes) -> dict[str, Any]:
    """The parameters of `locking`."""
    parts = {"of_account": account.bytes[-8:], "of_mailbox": mailbox[:8]}
    return {"account": account} | {name: int.from_bytes(part, signed=True) for name, part in parts.items()}


def last_hour() -> CompoundSelect[Any]:
    """Codes `sent` to the account, and codes sent to the mailbox; seconds until the first of them is older.

    A challenge counts with all its codes until the latest is an hour old: never too few.
    """
    hour = timedelta(hours=1)
    sent = func.coalesce(func.sum(challenges.c.resends + 1), 0).label("sent")
    frees_in = func.extract("epoch", func.min(challenges.c.sent_at) + hour - func.now()).label("frees_in")
    whose = (challenges.c.account_id == _ACCOUNT, challenges.c.email_key_hash == _MAILBOX)
    lately = challenges.c.sent_at > func.now() - hour
    return union_all(*(select(sent, frees_in).where(which, lately) for which in whose))


def asking(lifetime: timedelta) -> Select[Any]:
    """A new challenge: parameters `challenge, account, mailbox, of_epoch, mac, code_event`, and those of the events."""
    new = insert(challenges).values(
        id=_CHALLENGE,
        account_id=_ACCOUNT,
        email_key_hash=_MAILBOX,
        epoch=bindparam("of_epoch", type_=BigInteger),
        code_mac=bindparam("mac", type_=LargeBinary),
        expires_at=func.now() + lifetime,
        code_event_id=bindparam("code_event", type_=Uuid),
    )
    return select(func.now()).add_cte(new.cte("asked"), insert_events(outbox).cte("told"))


def trying(counted: CTE, alive: ColumnElement[bool]) -> Select[Any]:
    """Compare and use a code: parameters `challenge` and `macs`, of which one is right; a row unless codes are off.

    Its `epoch` is None when nothing was compared, and its `used_at` when the code was wrong. What is `counted` goes
    first, and is locked until the commit: the challenge is then compared as it is at that moment.
    """
    right = challenges.c.code_mac == any_(bindparam("macs", type_=ARRAY(LargeBinary)))
    attempt = (
        update(challenges)
        .values(
            attempts=challenges.c.attempts + 1,
            used_at=case((right, func.clock_timestamp()), else_=None),
            # Who has the code has had the mail, whatever became of the report.
            code_outcome=case((right, "delivered"), else_=challenges.c.code_outcome),
        )
        .where(challenges.c.id == _CHALLENGE, alive, of_its_account(), exists(counted))
        .returning(challenges.c.epoch, challenges.c.used_at)
        .cte("attempt")
    )
    tried = counted.outerjoin(attempt, true())
    return select(counted.c.account_id, counted.c.failures, attempt.c.epoch, attempt.c.used_at).select_from(tried)


def of_its_account() -> ColumnElement[bool]:
    """The account may log in, and nothing has ended its sessions since the challenge was made."""
    return and_(
        identities.c.id == challenges.c.account_id,
        identities.c.session_epoch == challenges.c.epoch,
        may_log_in(),
    )


LAST_HOUR = last_hour()
