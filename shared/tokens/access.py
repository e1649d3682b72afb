"""Access tokens (RFC 9068): auth signs them, every service checks them and remembers verified signatures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import jwt

from shared.tokens.signed import KeyFinder, Kind, TokenInvalid, verify

TYP = "at+jwt"

# Authentication methods of RFC 8176: a password; a one-time code; a key that was proved to be there; a person at it,
# who unlocked it; more than one factor.
PASSWORD: Final = "pwd"  # noqa: S105 - the name of a method
OTP: Final = "otp"
KEY: Final = "pop"
PRESENCE: Final = "user"
MFA: Final = "mfa"


def acr_of(amr: Collection[str]) -> int:
    """Authentication class of a login: 1 one factor, 2 two, 3 resists phishing (a passkey that verified its user)."""
    if KEY in amr and PRESENCE in amr:
        return 3
    return 2 if MFA in amr else 1


def acr_value(acr: int) -> str:
    """The class as the claim `acr` has it, and RFC 9470's `acr_values`."""
    return f"urn:login2fa:acr:{acr}"


# The latest tokens: 12 MB.
MOST_REMEMBERED: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """`session` is the claim `sid`; `epoch` is the account's session epoch when that session began; `amr`: how its
    person last authenticated, at `auth_time` (Unix seconds).
    """

    account: UUID
    session: UUID
    epoch: int
    auth_time: int
    amr: tuple[str, ...]

    @property
    def acr(self) -> int:
        return acr_of(self.amr)

    @property
    def second_factor(self) -> bool:
        return self.acr > 1

    def login_age(self) -> float:
        """Seconds since the person last authenticated."""
        return time.time() - self.auth_time


def kind(*, issuer: str, audience: str) -> Kind:
    return Kind(typ=TYP, audience=audience, issuer=issuer)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A token with a verified signature."""

    expected: Kind
    kid: str
    key: jwt.PyJWK
    expires_at: int
    token: AccessToken

    def holds(self, expected: Kind, key_for: KeyFinder) -> bool:
        """The same key object, not only the same `kid`: after a reload of the keys the token is verified again."""
        in_time = time.time() - expected.leeway < self.expires_at
        return in_time and key_for(self.kid) is self.key and expected == self.expected


class AccessTokens:
    """Reads access tokens and remembers valid ones by a digest, so that its memory contains no token."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._seen: dict[bytes, _Seen] = {}

    def read(self, token: str, expected: Kind, key_for: KeyFinder) -> AccessToken:
        """Check signature, kind and expiry, not the session. Raises `TokenInvalid`."""
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        seen = self._seen.get(digest)
        if seen is not None:
            if seen.holds(expected, key_for):
                return seen.token
            del self._seen[digest]
        verified = verify(token, expected, key_for)
        good = _access_token(verified.claims)
        if "nbf" not in verified.claims:  # a remembered token is checked only for `exp`
            self._remember(digest, _Seen(expected, verified.kid, verified.key, verified.claims["exp"], good))
        return good

    def _remember(self, digest: bytes, seen: _Seen) -> None:
        if len(self._seen) >= self._most:
            del self._seen[next(iter(self._seen))]
        self._seen[digest] = seen


def _access_token(claims: Mapping[str, Any]) -> AccessToken:
    try:
        return AccessToken(
            account=UUID(claims["sub"]),
            session=UUID(claims["sid"]),
            epoch=_whole(claims["epoch"]),
            auth_time=_whole(claims["auth_time"]),
            amr=_methods(claims.get("amr")),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise TokenInvalid(f"access token without {error}") from None


def _methods(amr: Any) -> tuple[str, ...]:
    """None if `amr` is missing, or no list of texts: a text that contains a word must not be enough."""
    return tuple(amr) if type(amr) is list and all(type(each) is str for each in amr) else ()


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a whole number")
    return value
