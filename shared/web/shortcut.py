"""Routes that are found by one look, by their method and path.

The framework asks one route after the other whether it is meant, which costs more than a check of a token does. The
route itself is one of the framework's own: in the document, and for all that is not the short way.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send


def add(app: FastAPI, routes: list[APIRoute]) -> None:
    """Serve them on the short way, inside all other middleware. Their paths have no parameters."""
    app.router.routes.extend(routes)
    app.user_middleware.append(Middleware(_Shortcut, routes=routes, handlers=app.exception_handlers))


class _Shortcut:
    def __init__(self, app: ASGIApp, routes: list[APIRoute], handlers: dict[Any, Any]) -> None:
        self._app = app
        self._routes = {
            (method, route.path): (route, ExceptionMiddleware(AsyncExitStackMiddleware(route.app), handlers))
            for route in routes
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], answer = found
        await answer(scope, receive, send)
