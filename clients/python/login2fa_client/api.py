"""Log in, and stay logged in. A refresh token is used once: callers at the same time share one refresh."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Any, Final, Self

import httpx

from login2fa_client.answers import LoggedIn, SecondFactorNeeded, logged_in, outcome
from login2fa_client.errors import LoggedOut, Login2FAError, refusal

# Seconds before its expiry that an access token is replaced: a request takes its time, and clocks differ.
_EARLY: Final = 30.0
_TIMEOUT: Final = 10.0
_AUTH: Final = "/api/v1/auth"
_USERS: Final = "/api/v1/users"
_UNAUTHORIZED: Final = 401
# verify-... of each method. A passkey needs a browser.
_VERIFY: Final = {
    "email": ("verify-otp", "otp"),
    "totp": ("verify-totp", "otp"),
    "recovery": ("verify-recovery", "code"),
}


def _json(response: httpx.Response) -> Any:
    if not response.is_success:
        raise refusal(response)
    return response.json() if response.content else None


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _verification(needed: SecondFactorNeeded, code: str, method: str) -> dict[str, Any]:
    path, name = _VERIFY[method]
    return {"url": f"{_AUTH}/{path}", "json": {name: code}, "headers": _bearer(needed.temporary_token)}


def _change(new: str, current: str | None) -> dict[str, Any]:
    given = {"password": new, "confirm_password": new}
    return {"json": given if current is None else given | {"current_password": current}}


class _Pair:
    """The present pair; None: logged out."""

    def __init__(self, pair: LoggedIn | None) -> None:
        self.pair = pair

    def present(self) -> LoggedIn:
        if self.pair is None:
            raise LoggedOut
        return self.pair

    def usable(self, refused: str | None) -> str | None:
        """The access token, unless it expires soon or is the one that was `refused`."""
        pair = self.present()
        return pair.access_token if pair.expires_at - _EARLY > time.time() and pair.access_token != refused else None

    def refreshed(self, before: LoggedIn, response: httpx.Response) -> str:
        if response.status_code == _UNAUTHORIZED:
            if self.pair is before:  # else somebody logged in again meanwhile
                self.pair = None
            raise LoggedOut
        pair = logged_in(_json(response))
        if self.pair is not before:  # logged out meanwhile: the answer must not log in again
            return self.present().access_token
        self.pair = pair
        return pair.access_token


class Login2FA:
    """For one person; may be used by several threads. `pair`: from an earlier run."""

    def __init__(
        self, base_url: str, *, pair: LoggedIn | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=_TIMEOUT, transport=transport)
        self._state = _Pair(pair)
        self._refreshing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    @property
    def pair(self) -> LoggedIn | None:
        """Keep it where nobody else can read it."""
        return self._state.pair

    def login(self, username: str, password: str) -> LoggedIn | SecondFactorNeeded:
        """Raises `Login2FAError`."""
        given = {"username": username, "password": password}
        answer = outcome(_json(self._http.post(f"{_AUTH}/token", json=given)))
        if isinstance(answer, LoggedIn):
            self._state.pair = answer
        return answer

    def verify(self, needed: SecondFactorNeeded, code: str, method: str = "email") -> LoggedIn:
        """`method`: email, totp or recovery. Raises `Login2FAError`."""
        self._state.pair = pair = logged_in(_json(self._http.post(**_verification(needed, code, method))))
        return pair

    def access_token(self, *, refused: str | None = None) -> str:
        """One that is good for a while; `refused`: one that a service did not take. Raises `LoggedOut`."""
        if token := self._state.usable(refused):
            return token
        with self._refreshing:
            if token := self._state.usable(refused):
                return token
            before = self._state.present()
            given = {"refresh_token": before.refresh_token}
            return self._state.refreshed(before, self._http.post(f"{_AUTH}/refresh-token", json=given))

    def request(self, method: str, path: str, **more: Any) -> Any:
        """The JSON of the answer. A token that is not taken is refreshed once. Raises `LoggedOut`, `Login2FAError`."""
        token = self.access_token()
        try:
            return _json(self._http.request(method, path, headers=_bearer(token), **more))
        except Login2FAError as error:
            if error.code != "invalid_token":
                raise
        token = self.access_token(refused=token)
        return _json(self._http.request(method, path, headers=_bearer(token), **more))

    def me(self) -> dict[str, Any]:
        account: dict[str, Any] = self.request("GET", f"{_USERS}/me")
        return account

    def factors(self) -> dict[str, Any]:
        factors: dict[str, Any] = self.request("GET", f"{_AUTH}/factors")
        return factors

    def change_password(self, new: str, current: str | None = None) -> None:
        self.request("POST", f"{_USERS}/change-password", **_change(new, current))

    def logout(self) -> None:
        """Also forgets the pair here, if Login2FA can be reached or not."""
        try:
            self.request("POST", f"{_AUTH}/logout")
        except LoggedOut:
            return
        finally:
            self._state.pair = None


class AsyncLogin2FA:
    """As `Login2FA`, for the tasks of one event loop."""

    def __init__(
        self, base_url: str, *, pair: LoggedIn | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT, transport=transport)
        self._state = _Pair(pair)
        self._refreshing: asyncio.Task[str] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @property
    def pair(self) -> LoggedIn | None:
        """Keep it where nobody else can read it."""
        return self._state.pair

    async def login(self, username: str, password: str) -> LoggedIn | SecondFactorNeeded:
        """Raises `Login2FAError`."""
        given = {"username": username, "password": password}
        answer = outcome(_json(await self._http.post(f"{_AUTH}/token", json=given)))
        if isinstance(answer, LoggedIn):
            self._state.pair = answer
        return answer

    async def verify(self, needed: SecondFactorNeeded, code: str, method: str = "email") -> LoggedIn:
        """`method`: email, totp or recovery. Raises `Login2FAError`."""
        self._state.pair = pair = logged_in(_json(await self._http.post(**_verification(needed, code, method))))
        return pair

    async def access_token(self, *, refused: str | None = None) -> str:
        """One that is good for a while; `refused`: one that a service did not take. Raises `LoggedOut`."""
        if token := self._state.usable(refused):
            return token
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(self._state.present()))
        # Shielded: a caller that is cancelled must not lose the new pair for the others.
        return await asyncio.shield(self._refreshing)

    async def _refresh(self, before: LoggedIn) -> str:
        given = {"refresh_token": before.refresh_token}
        return self._state.refreshed(before, await self._http.post(f"{_AUTH}/refresh-token", json=given))

    async def request(self, method: str, path: str, **more: Any) -> Any:
        """The JSON of the answer. A token that is not taken is refreshed once. Raises `LoggedOut`, `Login2FAError`."""
        token = await self.access_token()
        try:
            return _json(await self._http.request(method, path, headers=_bearer(token), **more))
        except Login2FAError as error:
            if error.code != "invalid_token":
                raise
        token = await self.access_token(refused=token)
        return _json(await self._http.request(method, path, headers=_bearer(token), **more))

    async def me(self) -> dict[str, Any]:
        account: dict[str, Any] = await self.request("GET", f"{_USERS}/me")
        return account

    async def factors(self) -> dict[str, Any]:
        factors: dict[str, Any] = await self.request("GET", f"{_AUTH}/factors")
        return factors

    async def change_password(self, new: str, current: str | None = None) -> None:
        await self.request("POST", f"{_USERS}/change-password", **_change(new, current))

    async def logout(self) -> None:
        """Also forgets the pair here, if Login2FA can be reached or not."""
        try:
            await self.request("POST", f"{_AUTH}/logout")
        except LoggedOut:
            return
        finally:
            self._state.pair = None
