"""Every place where a token is taken, by the kind of token that belongs there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx

from tests.composed import AUTH, USERS, AuthApp, UsersApp, bearer

ACCESS, REFRESH, TEMPORARY = KINDS = ("access", "refresh", "temporary")

# All that a gateway may ask: for everybody and for administrators, and as Envoy asks.
GATES = ("/forward", "/forward/admin", "/forward/envoy/x", "/forward/admin/envoy/x")

WRONG_CODE = "000000"  # a temporary token that is taken leads to 400, never to a pair


class Doors:
    """`ask` offers a token; 401 is a refusal, any other status says that the token was taken."""

    def __init__(self, auth: AuthApp, users: UsersApp) -> None:
        self._auth = auth.http
        self._users = users.http

    async def ask(self, kind: str, token: str) -> list[int]:
        """The statuses of all doors of this kind that leave a good token good."""
        answers = {ACCESS: self._access, REFRESH: self._refresh, TEMPORARY: self._temporary}[kind]
        return [answer.status_code for answer in await answers(token)]

    async def not_refused(self, kind: str, tokens: Mapping[str, str]) -> dict[str, list[int]]:
        """Of these tokens, by what is wrong with them, those that not every door answers 401."""
        asked = await asyncio.gather(*(self.ask(kind, token) for token in tokens.values()))
        return {name: seen for name, seen in zip(tokens, asked, strict=True) if set(seen) != {401}}

    async def _access(self, token: str) -> list[httpx.Response]:
        headers = bearer(token)
        return [
            await self._auth.post(f"{AUTH}/verify-token", headers=headers),
            await self._auth.get(f"{AUTH}/forward", headers=headers),
            await self._auth.get(f"{AUTH}/factors", headers=headers),
            await self._auth.post(f"{AUTH}/step-up", headers=headers, json={}),
            await self._users.get(f"{USERS}/me", headers=headers),
            await self._users.patch(f"{USERS}/", headers=headers, json={"name": "Dave"}),
        ]

    async def _refresh(self, token: str) -> list[httpx.Response]:
        return [await self._auth.post(f"{AUTH}/refresh-token", json={"refresh_token": token})]

    async def _temporary(self, token: str) -> list[httpx.Response]:
        headers = bearer(token)
        return [
            await self._auth.get(f"{AUTH}/challenge", headers=headers),
            await self._auth.post(f"{AUTH}/verify-otp", headers=headers, json={"otp": WRONG_CODE}),
            await self._auth.post(f"{AUTH}/verify-totp", headers=headers, json={"otp": WRONG_CODE}),
            await self._auth.post(f"{AUTH}/verify-recovery", headers=headers, json={"code": "00000-00000"}),
            await self._auth.post(f"{AUTH}/challenge/passkey", headers=headers),
            await self._auth.post(f"{AUTH}/resend-otp", headers=headers),
        ]
