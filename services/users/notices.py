"""Mails the owner about changes that a thief would make too, within the mailbox's daily share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.tables import notices, outbox
from shared.messaging.notice_events import NoticeWord, UsersNoticeRequested
from shared.messaging.outbox import add
from shared.notice_budget import NoticeBudget

_WORTH_TELLING = timedelta(days=1)

# Places for changes that take the account from its owner: one for the thief, one for the owner's own that day.
BUDGET = NoticeBudget(
    table=notices,
    share=13,
    reserved={
        "password_changed": 2,
        "password_reset": 2,
        "email_changed": 2,
        "email_change_requested": 2,
        "two_factor_off": 1,
        "account_deleted": 1,
        "already_registered": 1,
    },
    confined={"already_registered"},
)


async def tell_owner(connection: AsyncConnection, before: Row[Any], after: Row[Any], *, also_unproved: bool) -> None:
    """Mails the old address: the new one may be the thief's."""
    new_password: NoticeWord = "password_reset" if after.password_by_mail else "password_changed"
    changes: list[tuple[bool, NoticeWord]] = [
        (before.password_hash != after.password_hash, new_password),
        (before.is_2fa != after.is_2fa, "two_factor_on" if after.is_2fa else "two_factor_off"),
        (before.email_key != after.email_key, "email_changed"),
        (after.pending_email not in (None, before.pending_email), "email_change_requested"),
        (before.username_key != after.username_key, "username_changed"),
        (after.is_admin and not before.is_admin, "admin_granted"),
    ]
    for happened, notice in changes:
        if happened:
            await request_notice(connection, before, notice, after.modified_at, also_unproved=also_unproved)


async def request_notice(
    connection: AsyncConnection, owner: Row[Any], notice: NoticeWord, occurred_at: datetime, *, also_unproved: bool
) -> None:
    """`also_unproved`: where no address is proved. Else it may be a stranger's mailbox, which gets codes alone."""
    if owner.email_verified_at is None and not also_unproved:
        return
    if not await BUDGET.claim(connection, owner.email, notice):
        return
    event = UsersNoticeRequested(
        account_id=owner.id,
        email=owner.email,
        notice=notice,
        occurred_at=occurred_at,
        expires_at=occurred_at + _WORTH_TELLING,
    )
    await add(connection, outbox, event)
