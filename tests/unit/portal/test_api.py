"""Requests that the portal sends to the services for a browser."""

from __future__ import annotations

import httpx

from services.portal.api import Api, Services


async def test_what_a_browser_calls_itself_reaches_the_services_also_if_it_is_not_ascii() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.headers.raw)[b"User-Agent"])
        return httpx.Response(200, json={})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://auth.test") as client:
        await Api(Services(auth=client, users=client), {"User-Agent": "M\xfcnchen"}).get("/auth/sessions", "token")
    assert seen == [b"M\xfcnchen"]
