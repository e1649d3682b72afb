"""What every HTTP API of ours has around its routes: limits, a correlation id, a log line and a metric a request."""

from __future__ import annotations

import time

import structlog
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import problems
from shared.correlation import accept, correlation_id

log = structlog.get_logger()

REQUESTS = Histogram("login2fa_http_request_seconds", "Time to answer.", ["service", "method", "route", "status"])


class BodyTooLarge(problems.Problem):
    status = 413
    code = "content_too_large"
    detail = "The request body is too large"


def build(service: str, title: str, *, max_body: int, max_headers: int, token_endpoints: frozenset[str]) -> FastAPI:
    """An application without routes. Its documentation is served by `shared.api_docs`, for all services at once."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    problems.install(app, token_endpoints=token_endpoints)
    app.add_middleware(_Limits, max_body=max_body, max_headers=max_headers)
    app.add_middleware(_Observed, service=service)
    return app


class _Observed:
    """Outermost: gives the request its correlation id, and tells of its end in the log and the metrics."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        current = accept(Headers(scope=scope).get("x-request-id"))
        token = correlation_id.set(current)
        status = 500

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = current
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        finally:
            seconds = time.perf_counter() - began
            # The template and not the path: paths are unbounded, and a query may hold what it should not.
            route = getattr(scope.get("route"), "path", "-")
            REQUESTS.labels(self._service, scope["method"], route, status).observe(seconds)
            log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))
            correlation_id.reset(token)


class _Limits:
    """Refuses oversized headers at once and an oversized body while it is read, whatever its Content-Length says."""

    def __init__(self, app: ASGIApp, max_body: int, max_headers: int) -> None:
        self._app = app
        self._max_body = max_body
        self._max_headers = max_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif sum(len(name) + len(value) for name, value in scope["headers"]) > self._max_headers:
            await _refusal(431, "headers_too_large", "The request headers are too large")(scope, receive, send)
        elif _declared_length(scope) > self._max_body:
            await _refusal(413, BodyTooLarge.code, BodyTooLarge.detail)(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        left = self._max_body

        async def counted_receive() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise BodyTooLarge
            return message

        return counted_receive


def _declared_length(scope: Scope) -> int:
    declared = Headers(scope=scope).get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def _refusal(status: int, code: str, detail: str) -> ASGIApp:
    return JSONResponse(problems.document(status, code, detail), status, media_type=problems.MEDIA_TYPE)
