"""A page's script and its passkeys: it asks the API, hands the options to the browser, and sends what that makes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from playwright.async_api import Page

SECONDS = 60.0  # a script that waits for ever, as for an authenticator that is not there, fails its test

_FETCH = """async ([path, token, body]) => {
    const headers = {"Content-Type": "application/json"};
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(`/api/v1/auth${path}`, {method: "POST", headers, body: JSON.stringify(body)});
    return [answer.status, await answer.json()];
}"""

_CREDENTIAL = """async ([kind, options]) => {
    const publicKey = kind === "create"
        ? PublicKeyCredential.parseCreationOptionsFromJSON(options)
        : PublicKeyCredential.parseRequestOptionsFromJSON(options);
    return (await navigator.credentials[kind]({publicKey})).toJSON();
}"""


@dataclass(frozen=True, slots=True)
class Visitor:
    page: Page

    async def post(self, path: str, body: dict[str, Any] | None = None, *, token: str = "") -> tuple[int, Any]:
        """The status and the JSON of the answer to the page."""
        status, answer = await self._run(_FETCH, path, token, body or {})
        return status, answer

    async def ceremony(
        self, kind: Literal["create", "get"], asked: str, sent: str, *, token: str = "", **body: Any
    ) -> tuple[int, Any]:
        """The options of `asked`, what the authenticator makes of them, and the answer of `sent` to that."""
        status, begun = await self.post(asked, token=token)
        assert status == 200, begun
        credential = await self._run(_CREDENTIAL, kind, begun["options"])
        return await self.post(sent, {"ceremony": begun["ceremony"], "credential": credential, **body}, token=token)

    async def _run(self, script: str, *given: Any) -> Any:
        async with asyncio.timeout(SECONDS):
            return await self.page.evaluate(script, list(given))
