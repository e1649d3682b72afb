"""Events that ask for a mail to the owner of an account; the rules of shared.messaging.events hold."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from shared.messaging.events import Event, Moment

NoticeWord = Literal[
    "password_changed",
    "two_factor_on",
    "two_factor_off",
    "email_changed",
    "username_changed",
    "admin_granted",
    "account_deleted",
    "wrong_passwords",
    "codes_off",
    "email_change_requested",
    "password_reset",
    "already_registered",
    "totp_added",
    "totp_removed",
    "passkey_added",
    "passkey_removed",
    "passkey_cloned",
    "recovery_codes_made",
    "recovery_code_used",
    "factors_reset",
]


class NoticeRequested(Event):
    """The owner of an account must be notified, at their address of that time."""

    account_id: UUID
    email: str
    notice: NoticeWord
    occurred_at: Moment
    expires_at: Moment


class AuthNoticeRequested(NoticeRequested):
    type: ClassVar[str] = "auth.notice_requested.v1"

    recovery_codes_left: int | None = None  # only with `recovery_code_used`


class UsersNoticeRequested(NoticeRequested):
    type: ClassVar[str] = "users.notice_requested.v1"
