"""ASGI: `AccessTokenMiddleware(app, tokens)` lets nobody in without a token, whatever the framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from login2fa_client.bearer import ANY, PROBLEM, Refused, checked_async
from login2fa_client.demands import Demands
from login2fa_client.tokens import AccessTokens

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1


class AccessTokenMiddleware:
    """The application finds the `AccessToken` in `scope["state"]["access_token"]` (Starlette: `request.state`).

    `open_paths`: exact paths that need no token. A WebSocket without a token is closed before it is accepted.
    """

    def __init__(
        self, app: App, tokens: AccessTokens, demands: Demands = ANY, *, open_paths: Collection[str] = ()
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._demands = demands
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        given = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]
        try:
            token = await checked_async(self._tokens, given, self._demands)
        except Refused as refused:
            await _answer(refused, scope, send)
            return
        scope.setdefault("state", {})["access_token"] = token
        await self._app(scope, receive, send)


async def _answer(refused: Refused, scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refused.detail})
        return
    headers = {"Content-Type": PROBLEM, "Content-Length": str(len(refused.body)), **refused.headers}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": encoded})
    await send({"type": "http.response.body", "body": refused.body})
