"""Steps that tests of passkeys repeat: enrol one, and log in with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

import httpx

from login2fa_testing.software_passkey import Changes, SoftwarePasskey
from shared.messaging.events import AccountChanged
from tests.auth_steps import Pair, pair
from tests.composed import AUTH, AuthApp, bearer

# The origin of the settings' default ISSUER.
ORIGIN = "http://localhost:8201"


@dataclass(frozen=True, slots=True)
class PasskeySteps:
    auth: AuthApp

    async def question(self, path: str, token: str | None = None) -> dict[str, Any]:
        answer = await self.post(path, token)
        assert answer.status_code == 200, answer.text
        asked: dict[str, Any] = answer.json()
        return asked

    async def answered(
        self, path: str, passkey: SoftwarePasskey, token: str | None = None, **changes: Unpack[Changes]
    ) -> dict[str, Any]:
        """The body that answers the question of `path`."""
        asked = await self.question(path, token)
        return {"ceremony": asked["ceremony"], "credential": passkey.answer(asked["options"], **changes)}

    async def enrol(
        self, owner: Pair, passkey: SoftwarePasskey, name: str | None = None, **changes: Unpack[Changes]
    ) -> httpx.Response:
        body = await self.answered("factors/passkeys/options", passkey, owner.access, **changes)
        return await self.post("factors/passkeys", owner.access, **body if name is None else body | {"name": name})

    async def enrolled(self, account: AccountChanged, *, synced: bool = False) -> SoftwarePasskey:
        """The passkey of an account that had no second factor."""
        passkey = SoftwarePasskey(ORIGIN, synced=synced)
        added = await self.enrol(pair(await self.auth.log_in(account.username)), passkey)
        assert added.status_code == 201, added.text
        passkey.id = added.json()["id"]
        return passkey

    async def log_in(self, passkey: SoftwarePasskey, **changes: Unpack[Changes]) -> httpx.Response:
        """With the passkey alone."""
        return await self.post("passkey", None, **await self.answered("passkey/options", passkey, **changes))

    async def temporary(self, account: AccountChanged) -> str:
        """After username and password."""
        token: str = (await self.auth.log_in(account.username)).json()["temporary_token"]
        return token

    async def verify(
        self, temporary: str, passkey: SoftwarePasskey, *, remember: bool = False, **changes: Unpack[Changes]
    ) -> httpx.Response:
        """The second step."""
        body = await self.answered("challenge/passkey", passkey, temporary, **changes)
        return await self.post("verify-passkey", temporary, **body, remember_device=remember)

    async def post(self, path: str, token: str | None = None, **body: Any) -> httpx.Response:
        return await self.auth.http.post(f"{AUTH}/{path}", headers=bearer(token) if token else {}, json=body)
