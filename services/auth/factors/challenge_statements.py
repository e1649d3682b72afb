"""Statements for challenges that many clients run at once; each is built once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    LargeBinary,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    select,
    true,
    update,
)

from services.auth.accounts.read_model import may_log_in
from services.auth.tables import challenges, code_failures, identities, outbox
from shared.messaging.outbox import insert_events

_CHALLENGE = bindparam("challenge", type_=Uuid)
_ACCOUNT = bindparam("account", type_=Uuid)
_MAILBOX = bindparam("mailbox", type_=LargeBinary)


def insert_challenge(lifetime: timedelta) -> Select[Any]:
    """Parameters: `challenge, account, mailbox, of_epoch, of_version, session, ways, mac, code_event` and those of the
    events. `mac` and `code_event` are None if no code is mailed.
    """
    event = bindparam("code_event", type_=Uuid)
    new = insert(challenges).values(
        id=_CHALLENGE,
        account_id=_ACCOUNT,
        email_key_hash=_MAILBOX,
        epoch=bindparam("of_epoch", type_=BigInteger),
        factors_version=bindparam("of_version", type_=BigInteger),
        session_id=bindparam("session", type_=Uuid),
        methods=bindparam("ways", type_=ARRAY(Text)),
        code_mac=bindparam("mac", type_=LargeBinary),
        sent_at=case((event.is_not(None), func.now())),
        expires_at=func.now() + lifetime,
        code_event_id=event,
    )
    return select(func.now()).add_cte(new.cte("challenge"), insert_events(outbox).cte("event"))


def attempt(still_open: ColumnElement[bool], counted: CTE | None) -> Select[Any]:
    """Counts an attempt, before anything is compared. Parameters: `challenge`, `way`. `epoch` is None if the challenge
    is over, or does not take this way. `counted` runs and locks first; no row if codes are off, or nobody's challenge.
    The challenge stays locked until the commit: of concurrent attempts one can complete it.
    """
    takes = bindparam("way", type_=Text) == any_(challenges.c.methods)
    tried = (
        update(challenges)
        .values(attempts=challenges.c.attempts + 1)
        .where(challenges.c.id == _CHALLENGE, takes, still_open, of_its_account())
    )
    if counted is not None:
        tried = tried.where(exists(counted))
    facts = (challenges.c.account_id, challenges.c.epoch, challenges.c.session_id, challenges.c.code_mac)
    owner = (identities.c.email, identities.c.email_verified, identities.c.password_by_mail)
    found = tried.returning(*facts, *owner, func.now().label("now")).cte("attempt")
    if counted is None:
        return select(found, null().label("failures"))
    rest = [column for column in found.c if column.name != "account_id"]
    return select(counted.c.account_id, counted.c.failures, *rest).select_from(counted.outerjoin(found, true()))


def complete() -> Select[Any]:
    """Parameters: `challenge, account`, `right` (whether a code that is counted was right), `by_mail`, and those of the
    events.
    """
    by_mail = bindparam("by_mail", type_=Boolean)
    used = (
        update(challenges)
        .where(challenges.c.id == _CHALLENGE)
        # A right code proves the delivery, whatever was reported.
        .values(
            used_at=func.clock_timestamp(), code_outcome=case((by_mail, "delivered"), else_=challenges.c.code_outcome)
        )
    )
    right = bindparam("right", type_=Boolean)
    forgotten = delete(code_failures).where(code_failures.c.account_id == _ACCOUNT, right)
    parts = (used.cte("used"), forgotten.cte("forgotten"), insert_events(outbox).cte("event"))
    return select(literal(1)).add_cte(*parts)


def is_open(most_attempts: int) -> ColumnElement[bool]:
    return and_(
        challenges.c.used_at.is_(None),
        challenges.c.attempts < most_attempts,
        challenges.c.expires_at > func.clock_timestamp(),
    )


def of_its_account() -> ColumnElement[bool]:
    """Neither the account nor its factors have changed since."""
    return and_(
        identities.c.id == challenges.c.account_id,
        identities.c.session_epoch == challenges.c.epoch,
        identities.c.factors_version == challenges.c.factors_version,
        may_log_in(),
    )


COMPLETE = complete()
