"""Ask an application of ours without a network: the same ASGI calls that a server makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.types import ASGIApp

from shared.web import problems
from shared.web.application import Service
from shared.web.rate_limit import RateLimiter


def small_app(
    *,
    max_body: int = 1024,
    max_headers: int = 2048,
    token_endpoints: frozenset[str] = frozenset(),
    limiter: RateLimiter | None = None,
    trusted_proxies: str = "",
) -> Service:
    """An application without routes, with all that ours have around them."""
    nobody = RateLimiter(frozenset(), None)
    return Service(
        "test",
        max_body=max_body,
        max_headers=max_headers,
        token_endpoints=token_endpoints,
        limiter=limiter or nobody,
        trusted_proxies=trusted_proxies,
    )


@asynccontextmanager
async def client_of(app: ASGIApp, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://login.test") as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of `answer`, which must be one, with this status and code (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    document: dict[str, Any] = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:login2fa:problem:{code}"
    assert document["title"]
    assert document["detail"]
    return document
