"""The closed lists of words in the audit trail (docs/audit.md)."""

from __future__ import annotations

from typing import Literal

Act = Literal[
    "login",
    "code_sent",
    "code_verified",
    "codes_turned_off",
    "account_unlocked",
    "refresh",
    "refresh_reused",
    "session_ended",
    "registration",
    "password_changed",
    "two_factor_changed",
    "email_changed",
    "username_changed",
    "profile_changed",
    "account_deactivated",
    "account_reactivated",
    "account_deleted",
    "admin_granted",
    "admin_taken",
    "accounts_read",
    "account_code_sent",
    "email_change_requested",
    "email_verified",
    "password_reset",
    "groups_changed",
    "invitation",
]
ActOutcome = Literal["ok", "refused", "throttled"]
Reason = Literal[
    "wrong_credentials",
    "too_many_passwords",
    "too_many_from_address",
    "too_many_codes",
    "codes_off",
    "codes_not_delivered",
    "wrong_code",
    "challenge_over",
    "token_not_valid",
    "repeated",
    "logout",
    "logout_everywhere",
    "deleted",
    "turned_on",
    "turned_off",
    "current_password_wrong",
    "login_too_old",
    "not_permitted",
    "last_administrator",
    "name_taken",
    "too_many_names",
    "operator",
]
