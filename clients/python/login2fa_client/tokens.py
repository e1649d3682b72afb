"""Access tokens (RFC 9068), checked in a service of yours, by the published keys or by asking Login2FA."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import httpx
import jwt

from login2fa_client.errors import TokenInvalid, Unavailable
from login2fa_client.keys import ALGORITHMS, Keys

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_MAX_LENGTH: Final = 8192
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub", "jti", "sid", "epoch", "auth_time", "acr")
_ACR: Final = re.compile(r"urn:login2fa:acr:([123])", re.ASCII)
_OK, _UNAUTHORIZED = 200, 401


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """`acr`: 1 one factor, 2 two, 3 a passkey. `auth_time`: Unix seconds of the latest proof of the person."""

    account: UUID
    session: UUID
    epoch: int
    auth_time: int
    acr: int
    expires_at: int


class AccessTokens:
    """`freshness` says how soon an ended session is noticed: `signature`, when its token expires, at most an hour
    later; `ask`, at once, for a request to Login2FA each time. One object serves all threads and tasks.
    """

    def __init__(
        self,
        base_url: str,
        *,
        issuer: str,
        audience: str,
        freshness: Literal["signature", "ask"] = "signature",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=2.0, transport=transport)
        self._keys = Keys(self._http)
        self._issuer, self._audience = issuer, audience
        self._asks = freshness == "ask"

    def close(self) -> None:
        self._http.close()

    def verify(self, token: str) -> AccessToken:
        """Raises `TokenInvalid`, `Unavailable`."""
        verified = self._read(token)
        if self._asks:
            self._ask(token)
        return verified

    async def verify_async(self, token: str) -> AccessToken:
        """The same in a thread, so that no fetch holds up the event loop."""
        return await asyncio.to_thread(self.verify, token)

    def _read(self, token: str) -> AccessToken:
        if len(token) > _MAX_LENGTH or not _COMPACT.fullmatch(token):
            raise TokenInvalid("not a compact JWS")
        try:
            key = self._key(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                options={"require": list(_REQUIRED), "verify_iat": False, "enforce_minimum_key_length": True},
            )
            return _access_token(claims)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise TokenInvalid(type(error).__name__) from None

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        # No `jku`, `x5u`, `crit` or `zip`, and no token of another kind.
        if set(header) != {"alg", "kid", "typ"} or header["typ"] != "at+jwt" or type(header["kid"]) is not str:
            raise TokenInvalid("wrong header")
        key = self._keys.find(header["kid"])
        if header["alg"] != key.algorithm_name or key.algorithm_name not in ALGORITHMS:
            raise TokenInvalid("wrong algorithm for this key")
        return key

    def _ask(self, token: str) -> None:
        try:
            answer = self._http.post("/api/v1/auth/verify-token", headers={"Authorization": f"Bearer {token}"})
        except httpx.HTTPError as error:
            raise Unavailable(type(error).__name__) from None
        if answer.status_code == _UNAUTHORIZED:
            raise TokenInvalid("its session has ended")
        if answer.status_code != _OK:
            raise Unavailable(f"verify-token answered {answer.status_code}")


def _access_token(claims: Mapping[str, Any]) -> AccessToken:
    # PyJWT accepts "5" and True as times.
    if any(type(claims[name]) is not int for name in ("exp", "iat", "auth_time", "epoch")):
        raise TokenInvalid("a time is no whole number")
    # A list of audiences may name a service that the token was not made for alone.
    if type(claims["aud"]) is not str or claims["auth_time"] > time.time() + 600:
        raise TokenInvalid("aud or auth_time")
    if not (acr := _ACR.fullmatch(claims["acr"])):
        raise TokenInvalid("acr")
    return AccessToken(
        account=UUID(claims["sub"]),
        session=UUID(claims["sid"]),
        epoch=claims["epoch"],
        auth_time=claims["auth_time"],
        acr=int(acr[1]),
        expires_at=claims["exp"],
    )
