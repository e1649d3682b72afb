"""Second factors in the requests of a fuzzer: somebody who has what each of them needs, whatever became of the last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from login2fa_testing.software_passkey import SoftwarePasskey
from tests.auth_steps import Pair, pair
from tests.builders import PASSWORD, registered
from tests.composed import AUTH, AuthApp, UsersApp, bearer
from tests.cookie_steps import CookieSteps
from tests.database_clock import DatabaseClock
from tests.factor_steps import App, FactorSteps, claims
from tests.passkey_steps import ORIGIN, PasskeySteps
from tests.security.somebody import password_accepted

# The ends of the paths that take the token of a login of somebody with every factor, then of a step-up.
_SECOND_STEPS = ("/verify-totp", "/verify-recovery", "/challenge/passkey", "/verify-passkey")
_BY_PASSWORD = "/verify-password"

# Most are harmless to the session that asks; the token is looked at before each request.
_OF_OWNER = (f"{AUTH}/factors", f"{AUTH}/devices", f"{AUTH}/step-up")

_MANY = 15  # of at most twenty passkeys


class _Now:
    async def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(slots=True)
class _Person:
    """`tokens`: of a session that began with `passkey`."""

    username: str
    tokens: Pair
    passkey: SoftwarePasskey
    app: App
    added: int = 1


class FactorCallers:
    def __init__(self, auth: AuthApp, users: UsersApp) -> None:
        self._auth = auth
        self._users = users
        self._passkeys = PasskeySteps(auth)
        self._factors = FactorSteps(auth, cast("DatabaseClock", _Now()))
        self._owner: _Person | None = None
        self._begun: _Person | None = None
        self._temporary = {False: "", True: ""}  # of a login; of a step-up by password
        self._new_app: App | None = None

    async def token(self, operation: str) -> str | None:
        """None: it is no business of these."""
        path = operation.partition(" ")[2]
        if path.endswith((*_SECOND_STEPS, _BY_PASSWORD)):
            return await self._challenge(by_password=path.endswith(_BY_PASSWORD))
        if not path.startswith(_OF_OWNER):
            return None
        return (await self._good_owner()).tokens.access

    async def ids(self, operation: str) -> dict[str, str]:
        """The parameters of a path that is there."""
        match operation.removeprefix("DELETE ").removeprefix("PATCH ").removeprefix("POST ").removeprefix("GET "):
            case "/api/v1/auth/factors/totp/{app_id}/confirm":
                self._new_app = await self._factors.begin_app((await self._good_owner()).tokens)
                return {"app_id": self._new_app.id}
            case "/api/v1/auth/factors/totp/{app_id}":
                return {"app_id": (await self._with_app()).app.id}
            case "/api/v1/auth/factors/passkeys/{passkey_id}":
                owner = await self._good_owner()
                owner.added += 1
                added = await self._passkeys.enrol(owner.tokens, SoftwarePasskey(ORIGIN))
                return {"passkey_id": added.json()["id"]}
            case "/api/v1/auth/devices/{device_id}":
                owner = await self._good_owner()
                temporary = (await password_accepted(self._auth, owner.username)).json()["temporary_token"]
                pair(await self._passkeys.verify(temporary, owner.passkey, remember=True))
                devices = await self._auth.http.get(f"{AUTH}/devices", headers=bearer(owner.tokens.access))
                return {"device_id": devices.json()[0]["id"]}
            case path if path.startswith("/api/v1/auth/accounts/"):
                account = await registered(self._users.parts)
                access = pair(await password_accepted(self._auth, account.username)).access
                session = {"session_id": claims(access)["sid"]} if "{session_id}" in path else {}
                return {"account_id": str(account.id), **session}
        return {}

    async def body(self, operation: str) -> dict[str, Any] | None:
        """One that succeeds. Asked for after the token and the ids."""
        match operation:
            case "POST /api/v1/auth/factors/totp/{app_id}/confirm" if self._new_app is not None:
                return {"otp": await self._new_app.code()}
            case "POST /api/v1/auth/factors/passkeys":
                owner = await self._good_owner()
                owner.added += 1
                new = SoftwarePasskey(ORIGIN)
                return await self._passkeys.answered("factors/passkeys/options", new, owner.tokens.access)
            case "POST /api/v1/auth/passkey":
                return await self._passkeys.answered("passkey/options", (await self._good_owner()).passkey)
            case "POST /api/v1/auth/verify-password":
                return {"password": PASSWORD}
            case "POST /api/v1/auth/cookie/access":
                tokens = pair(await password_accepted(self._auth, (await registered(self._users.parts)).username))
                return {"session_cookie": (await CookieSteps(self._auth).browser(tokens.refresh)).session}
        return await self._of_second_step(operation)

    async def _of_second_step(self, operation: str) -> dict[str, Any] | None:
        if self._begun is None:
            return None
        match operation:
            case "POST /api/v1/auth/verify-totp":
                return {"otp": await self._begun.app.code(), "remember_device": True}
            case "POST /api/v1/auth/verify-recovery":
                return {"code": self._begun.app.recovery_codes[0].replace("-", "")}  # a hyphen is more than is promised
            case "POST /api/v1/auth/verify-passkey":
                asked = await self._passkeys.post("challenge/passkey", self._temporary[False])
                if asked.status_code != 200:  # it is over already
                    return None
                credential = self._begun.passkey.answer(asked.json()["options"])
                return {"ceremony": asked.json()["ceremony"], "credential": credential}
        return None

    async def _challenge(self, *, by_password: bool) -> str:
        """Open, and of somebody new if the last one is over: wrong codes count across logins."""
        if (await self._auth.challenge(self._temporary[by_password])).status_code != 200:
            self._temporary[by_password] = await (self._step_up() if by_password else self._login())
        return self._temporary[by_password]

    async def _login(self) -> str:
        self._begun = await self._person()
        token: str = (await self._auth.log_in(self._begun.username)).json()["temporary_token"]
        return token

    async def _step_up(self) -> str:
        account = await registered(self._users.parts)
        owner = pair(await password_accepted(self._auth, account.username))
        token: str = (await self._factors.post("step-up", owner.access)).json()["temporary_token"]
        return token

    async def _good_owner(self) -> _Person:
        owner = self._owner
        if owner is None or owner.added > _MANY or await self._auth.verify_token(owner.tokens.access) != 200:
            owner = self._owner = await self._person()
        return owner

    async def _with_app(self) -> _Person:
        owner = await self._good_owner()
        mine = await self._auth.http.get(f"{AUTH}/factors", headers=bearer(owner.tokens.access))
        if mine.json()["totp"] is None or mine.json()["totp"]["id"] != owner.app.id:
            owner.app = await self._confirmed(owner.tokens)
        return owner

    async def _person(self) -> _Person:
        username = (await registered(self._users.parts)).username
        first, passkey = pair(await password_accepted(self._auth, username)), SoftwarePasskey(ORIGIN)
        codes = (await self._passkeys.enrol(first, passkey)).json()["recovery_codes"]
        tokens = pair(await self._passkeys.log_in(passkey))
        app = await self._confirmed(tokens)
        app.recovery_codes = codes
        return _Person(username, tokens, passkey, app)

    async def _confirmed(self, tokens: Pair) -> App:
        app = await self._factors.begin_app(tokens)
        assert (await self._factors.confirm(app, await app.code(-1))).status_code == 200  # that of now is unused
        return app
