"""Steps of a browser whose session is in cookies, as the program that serves its pages takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from shared.messaging.events import AccountChanged
from shared.web.cookies import GATE, SESSION
from tests.auth_steps import session_of
from tests.composed import AUTH, AuthApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    session: str
    gate: str | None
    max_age: int | None


@dataclass(frozen=True, slots=True)
class CookieSteps:
    auth: AuthApp

    async def swap(self, refresh: str, *, keep: bool | None = None) -> httpx.Response:
        return await self.auth.http.post(f"{AUTH}/cookie", json={"refresh_token": refresh, "keep_logged_in": keep})

    async def browser(self, refresh: str, *, keep: bool | None = None) -> Browser:
        answer = await self.swap(refresh, keep=keep)
        assert answer.status_code == 201, answer.text
        given = answer.json()
        return Browser(session=given["session_cookie"], gate=given["gate_cookie"], max_age=given["max_age"])

    async def log_in(self, account: AccountChanged, *, keep: bool = False) -> Browser:
        return await self.browser((await session_of(self.auth, account)).refresh, keep=keep)

    async def ask(self, cookie: str) -> httpx.Response:
        """For the access token of one page."""
        return await self.auth.http.post(f"{AUTH}/cookie/access", json={"session_cookie": cookie})

    async def access(self, cookie: str) -> str:
        answer = await self.ask(cookie)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    async def at_gateway(
        self, *cookies: tuple[str, str], demands: str = "", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        sent: dict[str, Any] = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies), **(headers or {})}
        return await self.auth.http.get(f"{AUTH}/forward{demands}", headers=sent)

    async def lives(self, browser: Browser) -> bool:
        """Whether the session of the browser lives; page and gateway must agree."""
        cookie = (SESSION, browser.session) if browser.gate is None else (GATE, browser.gate)
        answers = (await self.ask(browser.session)).status_code, (await self.at_gateway(cookie)).status_code
        assert answers in {(200, 204), (401, 401)}
        return answers == (200, 204)
