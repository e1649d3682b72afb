"""The ways to complete a challenge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from services.auth.accounts.read_model import Identity
from shared.web.problems import Problem

Method = Literal["passkey", "totp", "email", "recovery", "password"]

# Ways that need no mail, and no code that can be guessed from the mailbox; recovery codes only stand in for them.
_STRONG: Final[tuple[Method, ...]] = ("passkey", "totp")


# No codes: a passkey can not be guessed, and a password has limits of its own.
NOT_GUESSED: Final[tuple[Method, ...]] = ("passkey", "password")


class MethodNotOffered(Problem):
    status = 409
    code = "method_not_offered"
    detail = "This login can not be completed in this way: `methods` of `GET /api/v1/auth/challenge` says in which"


def second_factors(identity: Identity) -> list[Method]:
    """The second factors that the account can use, the strongest first; none if its password is enough.

    After a reset by mail the mailbox would be both factors, so it is none of the second ones of an account that has
    another, until that has logged in (ASVS 6.4.3).
    """
    found: list[Method] = [method for method in _STRONG if method in identity.factors]
    if identity.is_2fa and not (found and _mailbox_gave_password(identity)):
        found.append("email")
    if found and "recovery" in identity.factors:
        found.append("recovery")
    return found


def needs_mail(methods: list[Method]) -> bool:
    """Whether only a mailed code, or a recovery code in its place, can complete the challenge."""
    return "email" in methods and not any(method in methods for method in _STRONG)


def not_guessed(methods: Sequence[Method]) -> list[Method]:
    """Those that stay when codes are off."""
    return [method for method in methods if method in NOT_GUESSED]


def _mailbox_gave_password(identity: Identity) -> bool:
    used = identity.login_epoch
    return identity.password_by_mail and (used is None or used < identity.session_epoch)
