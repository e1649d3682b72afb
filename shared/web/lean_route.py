"""Routes without FastAPI's work on each request, for endpoints that other services call often (docs/decisions/0011)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ValidationError

from shared.web.json_depth import ShallowJsonRoute, refuse_deep

_JSON = "application/json"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class LeanRoute(ShallowJsonRoute):
    """The endpoint is one of two kinds.

    1. It takes only its guard's result, and returns a `Response`. The guard takes only the request. See `first`.
    2. It takes `request` and `given`, a model of a small JSON body; returns a model. FastAPI refuses invalid bodies.
    """

    handler: Handler

    def get_route_handler(self) -> Handler:
        framework = super().get_route_handler()
        model = self.model()
        self.handler = self._guarded() if model is None else self._with_body(model, framework)
        return self.handler

    def _guarded(self) -> Handler:
        (guard,) = (each.call for each in self.dependant.dependencies)
        assert guard is not None  # noqa: S101 - a dependency without a function is the route itself

        async def answer(request: Request) -> Response:
            response: Response = await self.endpoint(await guard(request))
            return response

        return answer

    def _with_body(self, model: type[BaseModel], framework: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            if request.headers.get("content-type") != _JSON:
                return await framework(request)
            body = await request.body()
            refuse_deep(body)
            try:
                given = model.model_validate_json(body)
            except ValidationError:
                return await framework(request)  # the request caches its body
            result: BaseModel = await self.endpoint(request=request, given=given)
            return Response(result.model_dump_json(), media_type=_JSON)

        return answer


class LeanRoutes:
    """Guarded lean routes, except those with a rate limit. The one kind of parameter is the rest of a path
    (`/below/{name:path}`); the handler gets none, its guard reads the request.
    """

    def __init__(self, app: FastAPI, is_limited: Callable[[str], bool]) -> None:
        routes = [
            (method, str(context.path), context.route)
            for context in iter_route_contexts(app.routes)
            if isinstance(context.route, LeanRoute)
            and context.route.model() is None
            and not is_limited(str(context.path))
            for method in context.methods or ()
        ]
        self._whole = {(method, path): route for method, path, route in routes if "{" not in path}
        self._below = [(m, path.partition("{")[0], route) for m, path, route in routes if path.endswith(":path}")]

    def find(self, method: str, path: str) -> LeanRoute | None:
        route = self._whole.get((method, path))
        if route is None:
            for each, prefix, below in self._below:
                if each == method and path.startswith(prefix):
                    return below
        return route


def size(headers: Iterable[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def has_no_body(headers: Iterable[tuple[bytes, bytes]], max_size: int) -> bool:
    """Whether the headers announce no body (RFC 9112 section 6) and have at most `max_size` bytes."""
    size = 0
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return False
        size += len(name) + len(value)
    return size <= max_size
