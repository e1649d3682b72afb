"""Published keys (RFC 7517): fetched when old or when one is unknown, kept for a bounded time without Login2FA."""

from __future__ import annotations

import threading
import time
from typing import Final

import httpx
import jwt

from login2fa_client.errors import TokenInvalid, Unavailable

# RFC 8725 section 3.1: no other algorithm is accepted, whatever a key or a token says.
ALGORITHMS: Final = frozenset({"ES256", "RS256", "EdDSA"})
_PATH: Final = "/.well-known/jwks.json"


class Keys:
    """Seconds: `interval` between fetches; `early` at least, after an unknown key or a failure; `keep` at most, while
    Login2FA can not be reached: a key that was withdrawn meanwhile must not be trusted for ever.
    """

    def __init__(
        self, http: httpx.Client, *, interval: float = 300.0, early: float = 5.0, keep: float = 86_400.0
    ) -> None:
        self._http = http
        self._interval, self._early, self._keep = interval, early, keep
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = threading.Lock()

    def find(self, kid: str) -> jwt.PyJWK:
        """Raises `TokenInvalid` for a key that is not published, `Unavailable` while none is known."""
        # While one caller fetches, the others go on with a key that is still good.
        if (key := self._good(kid)) is None or (self._old() and not self._fetching.locked()):
            with self._fetching:
                if (key is None and self._good(kid) is None) or self._old():
                    self._fetch()
        key = self._good(kid)
        if key is not None:
            return key
        if not self._keys or self._age() > self._keep:
            raise Unavailable("no public keys")
        raise TokenInvalid("unknown kid")

    def _good(self, kid: str) -> jwt.PyJWK | None:
        return self._keys.get(kid) if self._age() <= self._keep else None

    def _age(self) -> float:
        return time.monotonic() - self._fetched_at

    def _old(self) -> bool:
        return self._age() > self._interval

    def _fetch(self) -> None:
        if time.monotonic() - self._tried_at < self._early:
            return
        self._tried_at = time.monotonic()
        try:
            answer = self._http.get(_PATH).raise_for_status()
            keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        except (httpx.HTTPError, jwt.PyJWTError, ValueError, TypeError, AttributeError):
            return  # `find` says whether the last keys may still be used
        self._keys = {key.key_id: key for key in keys if key.key_id and key.public_key_use == "sig"}
        self._fetched_at = time.monotonic()
