"""Everything that is secret about second factors, and a browser's cookie, happens once: right, wrong, and repeated."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import pyotp

from login2fa_testing.software_passkey import SoftwarePasskey
from tests.auth_steps import wrong
from tests.composed import AUTH, AuthApp, bearer
from tests.passkey_steps import ORIGIN

STATUSES = [400, 200, 400, 400, 422, 200, 400, 201, 400, 200, 200, 400, 200, 400, 200, 401, 200, 200, 200]


@dataclass(slots=True)
class FactorSecrets:
    """`answers`: those that give no secret; the others give the `secrets`, and must. `tokens`: of a first login."""

    auth: AuthApp
    tokens: dict[str, str]
    secrets: list[str] = field(default_factory=list)
    answers: list[httpx.Response] = field(default_factory=list)

    async def happen(self, username: str, password: str) -> list[httpx.Response]:
        """Returns `answers`."""
        owner = self.tokens["access_token"]
        app = await self._given("factors/totp", owner, "secret", "uri")
        secret = app["secret"]
        self.secrets.append(base64.b32decode(secret).hex())
        confirm = f"factors/totp/{app['id']}/confirm"
        await self._ask(confirm, owner, otp=wrong(_code(secret, -1)))
        codes = (await self._post(confirm, owner, otp=_code(secret, -1))).json()["recovery_codes"]
        self.secrets += [
            spelt for code in codes for spelt in (code, code.replace("-", ""), code.replace("-", "").lower())
        ]

        temporary = await self._log_in(username, password)
        await self._ask("verify-totp", temporary, otp=wrong(_code(secret)))
        await self._ask("verify-recovery", temporary, code="9WXYZ-01234")
        await self._ask("verify-recovery", temporary, code=f"{codes[0]}!")
        remembered = {"otp": _code(secret), "remember_device": True}
        access = (await self._given("verify-totp", temporary, "device_token", **remembered))["access_token"]
        device = self.secrets[-1]
        self.answers.append(await self._login(username, password, device_token=device))
        self.answers.append(await self._login(username, f"{password}?", device_token=device))
        await self._passkey(username, password, access)
        temporary = await self._log_in(username, password)  # the passkey has ended the device
        again = await self._given("verify-recovery", temporary, "device_token", code=codes[1], remember_device=True)
        browser = await self._given("cookie", None, "session_cookie", refresh_token=again["refresh_token"])
        await self._post("cookie/access", None, session_cookie=browser["session_cookie"])
        await self._ask("cookie/access", None, session_cookie=f"{browser['session_cookie']}x")
        for path in ("factors", "devices", "sessions"):
            self.answers.append(await self.auth.http.get(f"{AUTH}/{path}", headers=bearer(access)))
        statuses = [answer.status_code for answer in self.answers]
        assert statuses == STATUSES
        return self.answers

    async def _passkey(self, username: str, password: str, access: str) -> None:
        passkey = SoftwarePasskey(ORIGIN)
        asked = await self._given("factors/passkeys/options", access, "ceremony")
        body = {"ceremony": asked["ceremony"], "credential": passkey.answer(asked["options"])}
        await self._ask("factors/passkeys", access, **body)
        await self._ask("factors/passkeys", access, **body)  # it is used
        temporary = await self._log_in(username, password)
        for question, path, token in (
            ("challenge/passkey", "verify-passkey", temporary),
            ("passkey/options", "passkey", None),
        ):
            asked = await self._given(question, token, "ceremony")
            body = {"ceremony": asked["ceremony"], "credential": passkey.answer(asked["options"])}
            await self._ask(path, token, **body)
            await self._ask(path, token, **body)

    async def _log_in(self, username: str, password: str) -> str:
        token: str = (await self._login(username, password)).json()["temporary_token"]
        self.secrets.append(token)
        self.answers.append(await self.auth.challenge(token))
        return token

    async def _login(self, username: str, password: str, **more: str) -> httpx.Response:
        return await self.auth.http.post(f"{AUTH}/token", json={"username": username, "password": password, **more})

    async def _given(self, path: str, token: str | None, *names: str, **body: Any) -> dict[str, Any]:
        given: dict[str, Any] = (await self._post(path, token, **body)).json()
        self.secrets += [given[name] for name in names]
        return given

    async def _ask(self, path: str, token: str | None, **body: Any) -> None:
        self.answers.append(await self._post(path, token, **body))

    async def _post(self, path: str, token: str | None, **body: Any) -> httpx.Response:
        return await self.auth.http.post(f"{AUTH}/{path}", headers=bearer(token) if token else {}, json=body)


def _code(secret: str, later: int = 0) -> str:
    return pyotp.TOTP(secret).generate_otp(int(time.time()) // 30 + later)
