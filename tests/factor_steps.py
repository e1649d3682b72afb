"""Steps that tests of second factors repeat: enrol an authenticator app, and log in with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import pyotp

from shared.messaging.events import AccountChanged
from tests.auth_steps import Pair, pair
from tests.composed import AUTH, AuthApp, bearer
from tests.database_clock import DatabaseClock

STEP = 30


@dataclass(slots=True)
class App:
    """An authenticator app by the database's clock, which stands still."""

    id: str
    secret: str
    clock: DatabaseClock
    owner: Pair
    recovery_codes: list[str] = field(default_factory=list)

    async def code(self, later: int = 0) -> str:
        """The code of `later` steps from now."""
        step = int((await self.clock.now()).timestamp()) // STEP + later
        return pyotp.TOTP(self.secret).generate_otp(step)

    async def next_code(self) -> str:
        """A code that was not used yet: that of a time in which none was."""
        await self.clock.forward(STEP)
        return await self.code()


class FactorSteps:
    def __init__(self, auth: AuthApp, clock: DatabaseClock) -> None:
        self._auth = auth
        self._clock = clock

    async def begin_app(self, owner: Pair) -> App:
        """Not confirmed yet."""
        answer = await self.post("factors/totp", owner.access)
        assert answer.status_code == 201, answer.text
        return App(answer.json()["id"], answer.json()["secret"], self._clock, owner)

    async def confirm(self, app: App, code: str) -> httpx.Response:
        return await self.post(f"factors/totp/{app.id}/confirm", app.owner.access, otp=code)

    async def app(self, account: AccountChanged) -> App:
        """An account without a second factor gets an app; its code of now is used."""
        app = await self.begin_app(pair(await self._auth.log_in(account.username)))
        answer = await self.confirm(app, await app.code())
        assert answer.status_code == 200, answer.text
        app.recovery_codes = answer.json().get("recovery_codes", [])
        return app

    async def begin(self, account: AccountChanged) -> dict[str, Any]:
        """The answer to username and password."""
        answer = await self._auth.log_in(account.username)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def temporary(self, account: AccountChanged) -> str:
        token: str = (await self.begin(account))["temporary_token"]
        return token

    async def log_in(self, account: AccountChanged, app: App) -> Pair:
        return pair(await self.post("verify-totp", await self.temporary(account), otp=await app.next_code()))

    async def post(self, path: str, token: str, **body: Any) -> httpx.Response:
        return await self._auth.http.post(f"{AUTH}/{path}", headers=bearer(token), json=body)


def claims(access: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(access, options={"verify_signature": False})
    return found
