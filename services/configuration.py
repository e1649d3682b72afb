"""The settings of all services, for `login2fa config check` and for docs/configuration.md."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from services.auth.settings import AuthSettings
from services.notifier.settings import NotifierSettings
from services.portal.settings import PortalSettings
from services.users.settings import UsersSettings
from shared.configuration.settings import HttpSettings, ManagedSettings, ProcessSettings

SETTINGS: dict[str, type[ManagedSettings]] = {
    "auth": AuthSettings,
    "users": UsersSettings,
    "notifier": NotifierSettings,
    "portal": PortalSettings,
}

# A setting belongs to the first group with a prefix of its name; "" is a prefix of every name.
GROUPS: dict[str, tuple[str, ...]] = {
    "Broker, databases, TLS": ("rabbitmq_", "auth_database_", "users_database_", "database_", "require_tls", "tls_"),
    "Keys that processes share": (
        "otp_sealing_", "account_sealing_", "mailed_code_sealing_", "factor_sealing_", "users_to_", "auth_to_",
        "notifier_to_", "otp_peppers", "mailed_code_peppers",
    ),
    "Tokens and sessions": (
        "issuer", "audience", "jwt_", "auth_jwks_", "access_", "refresh_", "session_", "cookie_",
        "kept_cookie_", "recent_login",
    ),
    "Passwords": ("password_min_", "breached_", "current_password_", "argon2_", "hash_"),
    "Wrong passwords": ("throttle_", "familiar_", "login_failure_"),
    "Codes": (
        "otp_lifetime", "otp_attempts", "otp_res", "otp_codes_", "otp_wrong_", "otp_pressure_", "notifier_silence",
    ),
    "Second factors": ("totp_", "passkeys", "webauthn_", "trusted_device_"),
    "Codes that prove an address": (
        "email_verification", "mailed_code_", "address_proofs_", "password_resets_", "registrations_", "uniform_",
    ),
    "Pages": ("site_", "portal_", "gate_cookie_", "auth_url", "users_url"),
    "Mail servers": ("smtp_",),
    "Mail": ("mail_", "notifier_", "otp_log_"),
    "Accounts": ("registration", "invitation", "require_2fa", "name_guesses", "demo", "in_step_", "admin_"),
    "HTTP": tuple(name for name in HttpSettings.model_fields if name not in ProcessSettings.model_fields),
    "Traces": ("trace",),
    "The process": ("",),
}  # fmt: skip


def as_lines(settings: ManagedSettings) -> Iterator[str]:
    for name, value in settings:
        yield f"{name.upper()}={_shown(value)}"


def tables() -> str:
    fields: dict[str, FieldInfo] = {}
    readers: dict[str, list[str]] = {}
    for service, settings in SETTINGS.items():
        for name, field in settings.model_fields.items():
            fields.setdefault(name, field)
            readers.setdefault(name, []).append(service)
    rows: dict[str, list[str]] = {group: [] for group in GROUPS}
    for name in sorted(fields, key=_place):
        meaning = f"{', '.join(readers[name])} | {fields[name].description}."
        rows[_group(name)].append(f"| `{name.upper()}` | {_default(fields[name])} | {meaning} |")
    return "\n\n".join("\n".join([f"## {group}", "", _HEAD, *members]) for group, members in rows.items())


def _group(name: str) -> str:
    return next(group for group, beginnings in GROUPS.items() if name.startswith(beginnings))


def _place(name: str) -> int:
    return next(place for place, beginning in enumerate(GROUPS[_group(name)]) if name.startswith(beginning))


_HEAD = "| variable | default | read by | meaning |\n| --- | --- | --- | --- |"


def is_required(field: FieldInfo) -> bool:
    """Also by default, where a validator refuses the default because nothing else stands in for it."""
    return field.default is PydanticUndefined or bool(field.validate_default)


def _default(field: FieldInfo) -> str:
    if is_required(field):
        return "**required**"
    return "none" if field.default in (None, "", []) else f"`{_shown(field.default)}`"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "set" if value and isinstance(value[0], SecretStr) else ",".join(map(str, value))
    if isinstance(value, SecretStr):
        return "set"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
