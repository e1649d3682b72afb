"""Access tokens (RFC 9068): what auth signs and every service checks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.signed_tokens import KeyFinder, Kind, TokenInvalid, read

TYP = "at+jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """`session` is the claim `sid`; `epoch` the account's session epoch when that session began."""

    account: UUID
    session: UUID
    epoch: int
    auth_time: int

    def login_age(self) -> float:
        """Seconds since the person last proved who they are."""
        return time.time() - self.auth_time


def kind(*, issuer: str, audience: str) -> Kind:
    return Kind(typ=TYP, audience=audience, issuer=issuer)


def read_access_token(token: str, expected: Kind, key_for: KeyFinder) -> AccessToken:
    """Signature, kind and expiry only; whether the session still lives is the caller's question.

    Raises:
        TokenInvalid: it is no access token of this issuer, or has expired.
    """
    claims = read(token, expected, key_for)
    try:
        return AccessToken(
            account=UUID(claims["sub"]),
            session=UUID(claims["sid"]),
            epoch=_whole(claims["epoch"]),
            auth_time=_whole(claims["auth_time"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise TokenInvalid(f"access token without {error}") from None


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a whole number")
    return value
