"""The way of what comes with every request of somebody else's API.

FastAPI finds, resolves and validates anew at each request what is the same each time, and that costs several times what
the request does. So a route of this class calls its guard itself. To FastAPI it is a route like any other: in the
document, for the methods it refuses, and for the tests that ask whether every route has a guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send


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
