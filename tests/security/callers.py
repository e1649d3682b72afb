"""Who sends the requests of a fuzzer: at each one somebody with a good token, whatever became of the last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import httpx

from services.users.registering import register
from services.users.schemas import RegistrationIn
from tests.account_codes import AccountCodes
from tests.builders import OTHER_PASSWORD, PASSWORD, registered, registration
from tests.composed import USERS, AuthApp, UsersApp, bearer
from tests.inbox import Inbox
from tests.polling import eventually
from tests.security.factor_callers import FactorCallers
from tests.security.somebody import password_accepted

# What these ask for ends no session.
_HARMLESS = (
    *("/token", "/refresh-token", "/verify-token", "/cookie", "/access", "/registration", "/registration/confirm"),
    *("/verify-email", "/verify-email/send", "/password-reset", "/password-reset/confirm", "/invitations"),
)

# Only an address that is not proved yet leaves something to do here.
_PROOFS = tuple(f"{method} {USERS}/verify-email{end}" for method, end in (("GET", ""), ("POST", ""), ("POST", "/send")))

# The ends of the paths where the token between password and mailed code belongs.
TEMPORARY = ("/verify-otp", "/resend-otp", "/challenge", "/challenge/email")


class Callers:
    """Administrators and ordinary people by turns."""

    def __init__(self, auth: AuthApp, users: UsersApp, inbox: Inbox, account_codes: AccountCodes) -> None:
        self._auth = auth
        self._inbox = inbox
        self._account_codes = account_codes
        self._users = users
        self._factors = FactorCallers(auth, users)
        self._turns: dict[str, Iterator[int]] = defaultdict(count)
        self._access: dict[bool, str] = {}
        self._temporary = ""
        self._email = ""
        self._unproved = ("", "")  # address, access token
        self._last = ""

    async def token(self, operation: str) -> str:
        """For `operation`, as `GET /path`."""
        last, self._last = self._last, operation
        if (of_factors := await self._factors.token(operation)) is not None:
            return of_factors
        if operation.endswith(TEMPORARY):
            if (await self._auth.challenge(self._temporary)).status_code != 200:
                self._temporary = await self._begun()
            return self._temporary
        if operation in _PROOFS:
            if (await self._of_unproved("GET")).status_code != 200:
                account = await registered(self._users.parts, email_verified_at=None)
                tokens = (await password_accepted(self._auth, account.username)).json()
                self._unproved = (account.email, tokens["access_token"])
            return self._unproved[1]
        if not (last.startswith("GET ") or last.endswith((*_HARMLESS, *TEMPORARY))):
            self._access = {
                admin: token for admin, token in self._access.items() if await self._is_good(token, admin=admin)
            }
        # Each operation by both in turn: turns in common left some to customers alone.
        admin = next(self._turns[operation]) % 2 == 0
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
            case "POST /api/v1/auth/refresh-token" | "POST /api/v1/auth/cookie":
                return {"refresh_token": (await self._pair(admin=False))["refresh_token"]}
            case "POST /api/v1/auth/verify-otp":
                return {"otp": (await eventually(lambda: self._inbox.codes[self._email]))[-1]}
        return await self._of_mailed_codes(operation) or await self._factors.body(operation)

    async def _of_mailed_codes(self, operation: str) -> dict[str, Any] | None:
        match operation:
            case "POST /api/v1/users/":
                return {name: value for name, value in registration().items() if name != "password"}
            case "POST /api/v1/users/invitations" | "POST /api/v1/users/password-reset":
                return {"email": registration()["email"]}
            case "POST /api/v1/users/verify-email":
                earlier = len(self._account_codes.sent(self._unproved[0], "verify"))
                await self._of_unproved("POST", "/send")  # another one: wrong ones may have used up those before
                return {"code": await self._account_codes.code_for(self._unproved[0], "verify", earlier + 1)}
            case "POST /api/v1/users/password-reset/confirm":
                email = (await registered(self._users.parts)).email
                asked = await self._users.http.post(f"{USERS}/password-reset", json={"email": email})
                code = await self._account_codes.code_for(email, "reset")
                return {"reset_token": asked.json()["reset_token"], "code": code, "password": OTHER_PASSWORD}
            case "POST /api/v1/users/registration/confirm":
                new = RegistrationIn(**registration())
                settings = self._users.parts.settings.model_copy(update={"registration": "proven"})
                token = await register(replace(self._users.parts, settings=settings), new, None)
                code = await self._account_codes.code_for(new.email, "register")
                return {"registration_token": str(token), "code": code}
        return None

    async def _of_unproved(self, method: str, end: str = "") -> httpx.Response:
        url = f"{USERS}/verify-email{end}"
        return await self._users.http.request(method, url, headers=bearer(self._unproved[1]))

    async def ids(self, operation: str) -> dict[str, str]:
        """Parameters of the path, of what is there; for the operations for which chance finds none."""
        if "{user_id}" in operation:
            return {"user_id": str((await registered(self._users.parts)).id)}
        return await self._factors.ids(operation)

    async def _is_good(self, token: str, *, admin: bool) -> bool:
        if await self._auth.verify_token(token) != 200:
            return False
        me = await self._users.http.get(f"{USERS}/me", headers=bearer(token))
        if me.status_code != 200 or me.json()["is_admin"] != admin:
            return False
        return not (admin and me.json()["second_factors"])  # one was turned on: the session has not used it

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
