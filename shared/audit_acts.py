"""The acts of each service, each with its outcomes and their reasons: the series of `login2fa_acts_total`.

Acts of an operator are not here: a command has no metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from prometheus_client import Counter

from shared.audit_words import Act, ActOutcome, Reason

ACTS: Final = Counter(
    "login2fa_acts_total", "Records of the audit trail (docs/audit.md).", ["service", "act", "outcome", "reason"]
)

_Outcomes = Mapping[ActOutcome, Sequence[Reason | None]]

_OK: Final[_Outcomes] = {"ok": [None]}

# `services.auth.api.guards.administrator`
_NO_ADMINISTRATOR: Final[_Outcomes] = {"refused": ["not_permitted", "second_factor_required", "login_too_old"]}

_AUTH: Final[Mapping[Act, _Outcomes]] = {
    "login": {
        "ok": [None],
        "refused": ["wrong_credentials", "codes_off", "codes_not_delivered", "passkey_not_valid"],
        "throttled": ["too_many_passwords", "too_many_from_address", "too_many_codes"],
    },
    "code_sent": {"ok": [None], "refused": ["codes_off", "codes_not_delivered"], "throttled": ["too_many_codes"]},
    "code_verified": {"ok": [None], "refused": ["wrong_code", "challenge_over"]},
    "codes_turned_off": _OK,
    "account_unlocked": {"ok": ["administrator"], **_NO_ADMINISTRATOR},
    "refresh": {"ok": [None, "repeated"], "refused": ["token_not_valid"]},
    "refresh_reused": {"refused": [None]},
    "session_ended": {"ok": ["logout", "logout_everywhere", "deleted", "administrator"], **_NO_ADMINISTRATOR},
    "step_up": {
        "ok": [None],
        "refused": ["wrong_credentials", "challenge_over", "codes_off", "codes_not_delivered"],
        "throttled": ["too_many_codes"],
    },
    "second_factor_asked": _OK,
    "passkey_verified": {"ok": [None], "refused": ["passkey_not_valid", "passkey_cloned", "challenge_over"]},
    "factor_added": {"ok": ["totp", "passkey"], "refused": ["passkey_not_valid"]},
    "factor_removed": {"ok": ["totp", "passkey"]},
    "factors_reset": {"ok": ["administrator"], **_NO_ADMINISTRATOR},
    "recovery_codes_made": _OK,
    "recovery_code_used": {"ok": [None], "refused": ["wrong_code", "challenge_over"]},
    "device_remembered": _OK,
    "device_ended": _OK,
    "sessions_read": {**_OK, **_NO_ADMINISTRATOR},
    "cookie_made": _OK,
}

# `services.users.audit.refusals`
_REFUSED: Final[_Outcomes] = {
    "refused": [
        "current_password_wrong",
        "last_administrator",
        "login_too_old",
        "name_taken",
        "not_permitted",
        "second_factor_required",
        "token_not_valid",
        "wrong_code",
    ]
}

_USERS: Final[Mapping[Act, _Outcomes]] = {
    "registration": {**_OK, **_REFUSED, "throttled": ["too_many_passwords", "too_many_names"]},
    "password_changed": {**_OK, **_REFUSED, "throttled": ["too_many_passwords"]},
    "two_factor_changed": {"ok": ["turned_on", "turned_off"]},
    "email_changed": _OK,
    "username_changed": _OK,
    "profile_changed": {**_OK, **_REFUSED, "throttled": ["too_many_names"]},
    "account_deactivated": _OK,
    "account_reactivated": _OK,
    "account_deleted": {**_OK, **_REFUSED},
    "admin_granted": _OK,
    "admin_taken": _OK,
    "accounts_read": {**_OK, **_REFUSED},
    "account_code_sent": {"ok": [None], "refused": [None]},
    "email_change_requested": _OK,
    "email_verified": {**_OK, **_REFUSED},
    "password_reset": {**_OK, **_REFUSED},
    "groups_changed": _OK,
    "invitation": {**_OK, **_REFUSED},
}

SERVICES: Final[Mapping[Literal["auth", "users"], Mapping[Act, _Outcomes]]] = {"auth": _AUTH, "users": _USERS}


def combinations(service: Literal["auth", "users"]) -> Iterator[tuple[Act, ActOutcome, Reason | None]]:
    for act, outcomes in SERVICES[service].items():
        for outcome, reasons in outcomes.items():
            for reason in reasons:
                yield act, outcome, reason


def initialise(service: Literal["auth", "users"]) -> None:
    """Begin all series: one that begins later at 1 never shows an increase."""
    for act, outcome, reason in combinations(service):
        ACTS.labels(service, act, outcome, reason or "")
