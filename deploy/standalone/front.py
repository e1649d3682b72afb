"""The public address of `make up`: the services and the portal behind one port, as behind a gateway."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.messaging import asyncapi
from shared.version import VERSION
from shared.web import api_docs


class Front:
    """Without a portal, the documentation has the home page."""

    def __init__(self, *, auth: FastAPI, users: FastAPI, portal: ASGIApp | None = None) -> None:
        self._users = users
        self._auth = auth
        events = Route("/asyncapi.json", JSONResponse(asyncapi.document(VERSION)), methods=["GET"])
        self._docs = Starlette(routes=[events, *api_docs.routes(api_docs.document([auth, users], VERSION))])
        self._portal = portal or self._docs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._service(scope.get("path", ""))(scope, receive, send)

    def _service(self, path: str) -> ASGIApp:
        if path.startswith("/api/v1/users"):
            return self._users
        if path.startswith(("/api/", "/.well-known/")):
            return self._auth
        if path in ("/docs", "/openapi.json", "/asyncapi.json") or path.startswith("/docs/"):
            return self._docs
        return self._portal
