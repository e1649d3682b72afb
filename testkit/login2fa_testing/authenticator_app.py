"""An authenticator app: codes by time (RFC 6238), as a phone makes them of a secret."""

from __future__ import annotations

import base64
import hmac
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Self

import httpx

from login2fa_testing.answers import bearer, expect
from login2fa_testing.people import Tokens

STEP_SECONDS = 30
DIGITS = 6
_LOOK_AGAIN_SECONDS = 0.05


class AuthenticatorApp:
    """Makes codes of a base32 `secret`. Safe to share between threads.

    The API takes the code of each step of 30 seconds once: the confirming code does not log in as well, nor does a code
    log in twice. So `code()` gives no step again. While that of the present is used it gives the next one, which the
    API takes already (`TOTP_DRIFT`, 1 unless it is set); after that it waits for up to 30 seconds. With `drift=0` it
    never runs ahead.
    """

    def __init__(self, secret: str, *, drift: int = 1, clock: Callable[[], float] = time.time) -> None:
        self.secret = secret
        self.id = ""
        self.recovery_codes: tuple[str, ...] = ()
        self._drift = drift
        self._clock = clock
        self._last_step = 0
        self._lock = threading.Lock()

    @classmethod
    def enrol(cls, client: httpx.Client, *, name: str | None = None, drift: int = 1) -> Self:
        """Enrol an app for the account that `client` is logged in with, and confirm it.

        `recovery_codes` are those that the confirmation answered with, if this is the account's first such factor.

        Raises:
            UnexpectedAnswer: the API refused it, as after a login that is too old.
        """
        asked = {} if name is None else {"name": name}
        new = expect(client.post("/auth/factors/totp", json=asked), HTTPStatus.CREATED)
        app = cls(new["secret"], drift=drift)
        confirmed = expect(client.post(f"/auth/factors/totp/{new['id']}/confirm", json={"otp": app.code()}))
        app.id, app.recovery_codes = new["id"], tuple(confirmed.get("recovery_codes") or ())
        return app

    def code(self) -> str:
        """The code of the present step, or of the first one after it that was not given yet."""
        with self._lock:
            step = max(self.step(), self._last_step + 1)
            while step > self.step() + self._drift:
                time.sleep(_LOOK_AGAIN_SECONDS)
            self._last_step = step
        return self.code_of(step)

    def code_of(self, step: int) -> str:
        """The code of any step, given before or not: for tests of what is refused."""
        digest = hmac.digest(base64.b32decode(self.secret), step.to_bytes(8), "sha1")
        offset = digest[-1] & 0xF
        number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
        return f"{number % 10**DIGITS:0{DIGITS}}"

    def step(self) -> int:
        """The step of the present."""
        return int(self._clock() // STEP_SECONDS)

    def verify(self, client: httpx.Client, temporary_token: str) -> Tokens:
        """Take the second step of a login."""
        answer = client.post("/auth/verify-totp", json={"otp": self.code()}, headers=bearer(temporary_token))
        return Tokens.of(expect(answer))
