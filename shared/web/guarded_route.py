"""The way of what comes with every request of somebody else's API.

FastAPI finds, resolves and validates anew at each request what is the same each time, and that costs several times what
the request does. So a route of this class calls its guard itself, and is asked before the framework is. To FastAPI it
is a route like any other: in the document, for the methods it refuses, and for the tests that ask whether every route
has a guard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Yes:
    """A response that is made once, or in one step."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


class GuardedRoute(APIRoute):
    """Its endpoint takes who asks and nothing else, and answers with a `Yes` or raises."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.app = self._answer

    async def who_asks(self, scope: Scope) -> Any:
        """The guard, which each service has its own of; raises when the request may not pass."""
        raise NotImplementedError

    async def _answer(self, scope: Scope, _receive: Receive, send: Send) -> None:
        yes: Yes = await self.endpoint(await self.who_asks(scope))
        await yes.send(send)


class Straight:
    """Asks a `GuardedRoute` at once for what has no body, and so needs none of the layers that lie before a route.

    Each of them costs little, and all of them together as much as the check of a token.
    """

    def __init__(self, framework: ASGIApp, handlers: dict[Any, Any], max_headers: int) -> None:
        self._framework = framework
        self._handlers = handlers
        self._max_headers = max_headers
        self._routes: dict[tuple[str, str], GuardedRoute] = {}

    def add(self, route: GuardedRoute) -> None:
        """Its path has no parameters, and nobody limits how often it is asked."""
        self._routes |= {(method, route.path): route for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None or not self._headers_only(scope["headers"]):
            await self._framework(scope, receive, send)
            return
        scope["route"] = route
        try:
            await route.app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - what it is, is for the handlers to say
            await ExceptionMiddleware(raises(error), self._handlers)(scope, receive, send)

    def _headers_only(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether they announce no body (RFC 9112 section 6), and are not too large themselves."""
        size = 0
        for name, value in headers:
            if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
                return False
            size += len(name) + len(value)
        return size <= self._max_headers


def raises(error: Exception) -> ASGIApp:
    """For `ExceptionMiddleware`, which finds the handler of `error`."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    return app
