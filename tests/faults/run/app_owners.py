"""People with an authenticator app: they enrol it after a login by password, and log in by its codes from then on."""

from __future__ import annotations

import time

import httpx

from login2fa_testing import AuthenticatorApp
from login2fa_testing.authenticator_app import STEP_SECONDS
from tests.faults.run.client import Client
from tests.faults.run.ledger import Ledger

DRIFT = 1  # steps that a code may be early or late


class AppOwners:
    """By address. Nobody waits for the code of another half minute: `has_code` says who can come."""

    def __init__(self, client: Client, ledger: Ledger) -> None:
        self._client = client
        self._ledger = ledger
        self._apps: dict[str, AuthenticatorApp] = {}
        self._used: dict[str, int] = {}  # the latest step of each

    def __contains__(self, email: str) -> bool:
        return email in self._apps

    def has_code(self, email: str) -> bool:
        return email not in self._apps or self._next_step(email) <= self._apps[email].step() + DRIFT

    async def enrol(self, email: str, access: str) -> bool:
        """False if an answer was lost: then nobody can know whether the app is confirmed."""
        begun = await self._client.answered("auth", "auth/factors/totp", token=access, json={})
        if not self._client.expect(begun.answer, {201}):
            return False
        new = begun.answer.json()
        app = AuthenticatorApp(new["secret"])
        step = app.step()
        path = f"auth/factors/totp/{new['id']}/confirm"
        confirmed = await self._client.answered("auth", path, token=access, json={"otp": app.code_of(step)})
        if begun.lost or confirmed.lost:
            return False
        if self._client.expect(confirmed.answer, {200}):
            self._apps[email], self._used[email] = app, step
        return confirmed.answer.is_success

    async def completed(self, email: str, asked: httpx.Response) -> dict[str, str] | None:
        """The tokens, if the code was good. `asked`: the answer to the password."""
        told = asked.json()
        if told["methods"][0] != "totp" or told["sent"]:
            self._ledger.wrong.append(f"I6: a login of {email} by app was asked for something else: {told['methods']}")
        app, step = self._apps[email], self._next_step(email)
        self._used[email] = step
        promise = self._ledger.promise(asked.request.headers["X-Request-ID"], email, "app")
        promise.lives = (step + 1 + DRIFT) * STEP_SECONDS - time.time()
        form = {"otp": app.code_of(step)}
        good = await self._client.uses(promise, "auth", "auth/verify-totp", token=told["temporary_token"], json=form)
        self._ledger.logins_by_app += bool(good)
        return good[0].json() if good else None

    def _next_step(self, email: str) -> int:
        return max(self._apps[email].step(), self._used[email] + 1)
