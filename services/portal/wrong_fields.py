"""Sentences beside the fields that were refused, in the language of the page: those of the API are for programs."""

from __future__ import annotations

from typing import Final

from services.portal.api import Refused
from services.portal.visit import Visit

# The field that is at fault, by the code of the refusal.
_FIELDS: Final = {
    "password_too_weak": "password",
    "passwords_differ": "confirm_password",
    "current_password_wrong": "current_password",
    "email_not_valid": "email",
    "username_taken": "username",
    "username_not_own": "username",
    "username_differs": "username",
    "code_not_valid": "code",
}


def beside(visit: Visit, refused: Refused, **renamed: str) -> Refused:
    """For `Visit.again`: the refusal with a sentence for each field. `renamed`: what the form calls otherwise."""
    if refused.code in _FIELDS:
        wrong = {_FIELDS[refused.code]: _text(visit, refused.code, refused.detail)}
    else:
        wrong = {name: _text(visit, f"field_{name}", detail) for name, detail in refused.fields.items()}
    if not wrong:
        return refused
    wrong = {renamed.get(name, name): text for name, text in wrong.items()}
    return Refused(refused.status, "invalid_request", refused.detail, fields=wrong)


def refuse_different(password: str, repeated: str) -> None:
    """Raises `Refused`."""
    if password != repeated:
        raise Refused(400, "passwords_differ", "")


def _text(visit: Visit, name: str, detail: str) -> str:
    key = f"error.{name}"
    return visit.portal.pages.text(visit.language, key) if visit.portal.pages.knows(key) else detail
