"""The layers around the routes of every HTTP API: limits, correlation id, access log and metrics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from functools import cache, cached_property
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.telemetry import TelemetryConfig
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.observability import tracing
from shared.observability.correlation import accept, client_address, correlation_id
from shared.observability.logs import Line
from shared.web import lean_route, problems
from shared.web.problems import Problem
from shared.web.rate_limit import RateLimiter
from shared.web.understood import Understood

_LONGEST_LENGTH = 18  # digits of a plausible Content-Length

_CLIENT_GONE = 499  # nginx's status for a client that closed the connection before the answer

REQUESTS = Histogram("login2fa_http_request_seconds", "Time to answer.", ["service", "method", "route", "status"])


class Service(FastAPI):
    """`edge` handles each request before FastAPI does. `cache_control` applies to answers without that header.
    `strict_query`: a parameter that the route does not name is refused.
    """

    def __init__(
        self,
        service: str,
        *,
        max_body: int,
        max_headers: int,
        token_endpoints: frozenset[str],
        limiter: RateLimiter,
        trusted_proxies: str = "",
        cache_control: str | None = None,
        strict_query: bool = True,
    ) -> None:
        # Otherwise FastAPI looks for OpenTelemetry providers on each request.
        no_telemetry: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
        super().__init__(openapi_url=None, redirect_slashes=False, telemetry=no_telemetry)
        problems.install(self, token_endpoints=token_endpoints)
        self.add_middleware(BodyLimitMiddleware, max_body=max_body, max_headers=max_headers)
        self.add_middleware(limiter.around)
        self._limiter = limiter
        self._max_headers = max_headers
        understood = Understood(self, trusted_proxies, strict_query=strict_query)
        self.edge: ASGIApp = AccessLogMiddleware(self._answer, understood, service, cache_control)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # the scope is HTTP: our server sends neither lifespan events nor WebSockets
        await self.edge(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lean routes bypass FastAPI's layers: together they cost as much as a token check."""
        route = self._lean.find(scope["method"], scope["path"])
        if route is None or not lean_route.has_no_body(scope["headers"], self._max_headers):
            await super().__call__(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive)
        try:
            response = await route.handler(request)
        except Exception as error:  # noqa: BLE001 - every failure has its answer
            response = await problems.respond(request, error)
        await response(scope, receive, send)

    @cached_property
    def _lean(self) -> lean_route.LeanRoutes:
        return lean_route.LeanRoutes(self, self._limiter.limits)


class AccessLogMiddleware:
    """Sets the correlation id; writes one log line and one metric when the request ends."""

    def __init__(self, app: ASGIApp, understood: Understood, service: str, cache_control: str | None) -> None:
        self._app = app
        self._understood = understood
        self._service = service
        self._cache_control = cache_control.encode() if cache_control else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        method = scope["method"]
        if method == "HEAD":
            # Answered like GET. A copy: uvicorn reads the method from its own scope and sends no body.
            scope = {**scope, "method": "GET"}
        current = accept(_header(scope, b"x-request-id"))
        token = correlation_id.set(current)
        traced = tracing.begin_request(scope["headers"])
        app = self._app
        try:
            self._understood.check(scope)
        except (Problem, RequestValidationError) as error:
            app = await problems.respond(Request(scope), error)
        address = client_address.set(scope["client"][0] if scope.get("client") else "")
        status = None

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", current.encode())]
                if self._cache_control and not any(name == b"cache-control" for name, _ in message["headers"]):
                    message["headers"].append((b"cache-control", self._cache_control))
            await send(message)

        try:
            await app(scope, receive, observed_send)
        except Exception:
            # Already answered with 500 and logged: the framework raises the error again for the server to log.
            if status != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
        finally:
            seconds = time.perf_counter() - began
            status = status or _CLIENT_GONE
            # The template, not the path: paths are unbounded, and a query may hold secrets.
            route = getattr(scope.get("route"), "path_format", "-")
            timer, line = _measures(self._service, method, route, status)
            timer.observe(seconds)
            line.write(ms=round(seconds * 1000, 1))
            if traced is not None:
                tracing.end_request(traced, method, route, status)
            client_address.reset(address)
            correlation_id.reset(token)


@cache
def _measures(service: str, method: str, route: str, status: int) -> tuple[Histogram, Line]:
    """The metric and the log line for one kind of request: creating them each time is slow."""
    return REQUESTS.labels(service, method, route, status), Line("request", method=method, route=route, status=status)


class BodyLimitMiddleware:
    """Refuses oversized headers (431) and bodies (413), whatever Content-Length says. Limits are in bytes."""

    def __init__(self, app: ASGIApp, max_body: int, max_headers: int) -> None:
        self._app = app
        self._max_body = max_body
        self._max_headers = max_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if lean_route.size(scope["headers"]) > self._max_headers:
            detail = f"The request headers are too large: at most {self._max_headers} bytes are read"
            await _refusal(431, "headers_too_large", detail)(scope, receive, send)
        elif self._declares_too_much(scope) or (messages := await self._read(receive)) is None:
            # The rest of the body may follow, so the connection closes (`BoundedHttp` lets the client read the answer).
            detail = f"The request body is too large: at most {self._max_body} bytes are read"
            await _refusal(413, "content_too_large", detail, {"Connection": "close"})(scope, receive, send)
        elif messages[-1]["type"] != "http.disconnect":

            async def replay() -> Message:
                return messages.popleft() if messages else await receive()

            await self._app(scope, replay, send)

    def _declares_too_much(self, scope: Scope) -> bool:
        declared = _header(scope, b"content-length") or "0"
        # Length first: int() raises on more than 4300 digits.
        return declared.isdecimal() and (len(declared) > _LONGEST_LENGTH or int(declared) > self._max_body)

    async def _read(self, receive: Receive) -> deque[Message] | None:
        """None once the body is too large. Read here: FastAPI answers 400 to any error while it reads a body."""
        messages: deque[Message] = deque()
        size = 0
        while not messages or messages[-1].get("more_body", False):
            messages.append(await receive())
            size += len(messages[-1].get("body", b""))
            if size > self._max_body:
                return None
        return messages


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for each, value in scope["headers"] if each == name), None)


def _refusal(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> ASGIApp:
    return JSONResponse(problems.document(status, code, detail), status, headers, problems.MEDIA_TYPE)
