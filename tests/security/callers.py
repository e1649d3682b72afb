"""Who sends the requests of a fuzzer: at each one somebody with a good token, whatever became of the last."""

from __future__ import annotations

from itertools import count
from typing import Any

from tests.builders import PASSWORD, registered, registration
from tests.composed import USERS, AuthApp, UsersApp, bearer
from tests.inbox import Inbox
from tests.polling import eventually
from tests.security.somebody import password_accepted

# What these ask for ends no session.
_HARMLESS = ("/token", "/refresh-token", "/verify-token", "/registration")

# The ends of the paths where the token between password and code belongs.
TEMPORARY = ("/verify-otp", "/resend-otp", "/challenge")


class Callers:
    """Administrators and ordinary people by turns."""

    def __init__(self, auth: AuthApp, users: UsersApp, inbox: Inbox) -> None:
        self._auth = auth
        self._inbox = inbox
        self._users = users
        self._turns = count()
        self._access: dict[bool, str] = {}
        self._temporary = ""
        self._email = ""
        self._last = ""

    async def token(self, operation: str) -> str:
        """For `operation`, as `GET /path`."""
        last, self._last = self._last, operation
        if operation.endswith(TEMPORARY):
            if (await self._auth.challenge(self._temporary)).status_code != 200:
                self._temporary = await self._begun()
            return self._temporary
        if not (last.startswith("GET ") or last.endswith((*_HARMLESS, *TEMPORARY))):
            self._access = {
                admin: token for admin, token in self._access.items() if await self._is_good(token, admin=admin)
            }
        admin = next(self._turns) % 2 == 0
        if admin not in self._access:
            self._access[admin] = await self._logged_in(admin=admin)
        return self._access[admin]

    async def body(self, operation: str) -> dict[str, Any] | None:
        """One that succeeds, of an operation for which chance makes none: it needs what is secret, or taken once."""
        match operation:
            case "POST /api/v1/users/registration":
                return registration()
            case "PATCH /api/v1/users/" | "PATCH /api/v1/users/{user_id}":
                return {"name": "Dave"}
            case "POST /api/v1/auth/token":
                return {"username": (await registered(self._users.parts)).username, "password": PASSWORD}
            case "POST /api/v1/auth/refresh-token":
                return {"refresh_token": (await self._pair(admin=False))["refresh_token"]}
            case "POST /api/v1/auth/verify-otp":
                return {"otp": (await eventually(lambda: self._inbox.codes[self._email]))[-1]}
        return None

    async def account_id(self) -> str:
        return str((await registered(self._users.parts)).id)

    async def _is_good(self, token: str, *, admin: bool) -> bool:
        if await self._auth.verify_token(token) != 200:
            return False
        me = await self._users.http.get(f"{USERS}/me", headers=bearer(token))
        return me.status_code == 200 and me.json()["is_admin"] == admin

    async def _logged_in(self, *, admin: bool) -> str:
        return (await self._pair(admin=admin))["access_token"]

    async def _pair(self, *, admin: bool) -> dict[str, str]:
        account = await registered(self._users.parts, is_admin=admin)
        pair: dict[str, str] = (await password_accepted(self._auth, account.username)).json()
        return pair

    async def _begun(self) -> str:
        account = await registered(self._users.parts, is_2fa=True)
        token: str = (await password_accepted(self._auth, account.username)).json()["temporary_token"]
        self._email = account.email
        return token
