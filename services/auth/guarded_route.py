"""The way of the two checks that come with every request of somebody else's API.

FastAPI finds, resolves and validates anew at each request what is the same each time, and that costs several times what
the check does. So a route of this class calls its guard itself. To FastAPI it is a route like any other: in the
document, for the methods it refuses, and for the tests that ask whether every route has a guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from services.auth.routes import living_session
from shared.bearer import bearer_token


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
    """Its endpoint takes the living caller and nothing else, and answers with a `Yes` or raises."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.app = self._answer

    async def _answer(self, scope: Scope, _receive: Receive, send: Send) -> None:
        caller = await living_session(scope["app"].state.auth, bearer_token(scope))
        yes: Yes = await self.endpoint(caller)
        await yes.send(send)
