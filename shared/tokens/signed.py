"""Strict reading of our JSON Web Tokens (RFC 7515, RFC 7519, with the advice of RFC 8725).

Each kind has its own `typ` and audience. A header may hold only `alg`, `kid` and `typ`: no `jku`, `x5u`, `crit`, `zip`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from jwt.types import Options
from jwt.utils import der_to_raw_signature

MAX_LENGTH: Final = 8192

# RFC 8725 section 3.1: no other algorithm is accepted, whatever a key or a token says.
ALGORITHMS: Final = frozenset({"ES256", "RS256", "EdDSA"})

# Three parts as in RFC 7515 section 2, without padding or white space. PyJWT is more lenient.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub", "jti")
_TIMES: Final = ("exp", "iat", "auth_time")
_LAST_SECOND: Final = 2**40

KeyFinder = Callable[[str], jwt.PyJWK | None]


class TokenInvalid(Exception):
    """Not our token, or not of this kind. The text is for the log, never for the client."""


class UnknownKey(TokenInvalid):
    """Its key is not published (any longer, or yet)."""


@dataclass(frozen=True, slots=True)
class Kind:
    typ: str
    audience: str
    issuer: str
    # Extra seconds after `exp`, for kinds whose expiry the database checks; the claim is then a backstop.
    leeway: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims of a token and the key that verified them."""

    claims: dict[str, Any]
    kid: str
    key: jwt.PyJWK


class _DeterministicES256(ECAlgorithm):
    """RFC 6979: the same claims give the same token, at no extra cost."""

    def __init__(self) -> None:
        super().__init__(ECAlgorithm.SHA256, ec.SECP256R1)
        self._signature = ec.ECDSA(self.hash_alg(), deterministic_signing=True)

    def sign(self, msg: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        return der_to_raw_signature(key.sign(msg, self._signature), key.curve)


def _signer() -> jwt.PyJWS:
    signer = jwt.PyJWS()
    try:
        deterministic = _DeterministicES256()
    except UnsupportedAlgorithm:  # OpenSSL before 3.2: a repeated answer gets another signature
        return signer
    signer.unregister_algorithm("ES256")
    signer.register_algorithm("ES256", deterministic)
    return signer


_SIGNER: Final = _signer()


def sign(claims: Mapping[str, Any], private: Any, algorithm: str, header: dict[str, Any]) -> str:
    return _SIGNER.encode(json.dumps(claims, separators=(",", ":")).encode(), private, algorithm, header)


def read(token: str, kind: Kind, key_for: KeyFinder) -> dict[str, Any]:
    """The claims of `token`. Raises `TokenInvalid`."""
    return verify(token, kind, key_for).claims


def verify(token: str, kind: Kind, key_for: KeyFinder) -> Verified:
    """Raises `TokenInvalid`."""
    if len(token) > MAX_LENGTH or not _COMPACT.fullmatch(token):
        raise TokenInvalid("not a compact JWS")
    try:
        header = jwt.get_unverified_header(token)
        key = _key(header, kind, key_for)
        options: Options = {"require": list(_REQUIRED), "verify_iat": False, "enforce_minimum_key_length": True}
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm_name],
            audience=kind.audience,
            issuer=kind.issuer,
            leeway=kind.leeway,
            options=options,
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise TokenInvalid(type(error).__name__) from None
    _check_types(claims)
    return Verified(claims, header["kid"], key)


def _key(header: dict[str, Any], kind: Kind, key_for: KeyFinder) -> jwt.PyJWK:
    if set(header) != {"alg", "kid", "typ"} or header["typ"] != kind.typ:
        raise TokenInvalid("wrong header")
    if not isinstance(header["kid"], str):
        raise TokenInvalid("kid is no string")
    key = key_for(header["kid"])
    if key is None:
        raise UnknownKey("unknown kid")
    if header["alg"] != key.algorithm_name or key.algorithm_name not in ALGORITHMS:
        raise TokenInvalid("wrong algorithm for this key")
    return key


def _check_types(claims: dict[str, Any]) -> None:
    # PyJWT accepts "5", True and 1e3 as times.
    for name in _TIMES:
        value = claims.get(name, 0)
        if type(value) is not int or not 0 <= value < _LAST_SECOND:
            raise TokenInvalid(f"{name} is no time")
    if not (isinstance(claims["aud"], str) and isinstance(claims["sub"], str) and isinstance(claims["jti"], str)):
        raise TokenInvalid("aud, sub or jti is no string")
