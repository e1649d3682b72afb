"""A request may demand a stronger or newer login than its token tells of: RFC 9470, step-up."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from login2fa_client.tokens import AccessToken

REALM = 'Bearer realm="login2fa"'
_SKEW = 10  # seconds that clocks may differ


class InsufficientAuthentication(Exception):
    """Answer 401 with this `challenge` in `WWW-Authenticate`; the client then begins with `POST /auth/step-up`."""

    def __init__(self, challenge: str) -> None:
        super().__init__("insufficient_user_authentication")
        self.challenge = challenge


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """`acr`: 2 two factors, 3 a passkey. `max_age`: seconds since the person was last proved."""

    acr: int | None = None
    max_age: int | None = None

    def check(self, token: AccessToken) -> None:
        """Raises `InsufficientAuthentication`."""
        if (self.acr is None or token.acr >= self.acr) and self._new_enough(token):
            return
        challenge = f'{REALM}, error="insufficient_user_authentication"'
        if self.acr is not None:
            challenge += f', acr_values="urn:login2fa:acr:{self.acr}"'
        if self.max_age is not None:
            challenge += f', max_age="{self.max_age}"'
        raise InsufficientAuthentication(challenge)

    def _new_enough(self, token: AccessToken) -> bool:
        if self.max_age is None:
            return True
        return -_SKEW <= math.ceil(time.time()) - token.auth_time <= self.max_age
