"""Renders each failure as a problem document (RFC 9457); at token endpoints with members of RFC 6749 section 5.2."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from shared.database.pool import is_transient, sqlstate
from shared.web import invalid_requests

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

# RFC 6749 section 5.2; section 4.1.2.1 for `server_error` and `temporarily_unavailable`.
_OAUTH_ERRORS = {
    400: "invalid_grant",
    401: "invalid_grant",
    429: "temporarily_unavailable",
    500: "server_error",
    503: "temporarily_unavailable",
}

_SENTENCES = {  # FastAPI gives only a title for these
    404: "There is nothing at this path",
    405: "This path does not take that method: the header Allow names those that it takes",
}


class Problem(Exception):
    """Raise a subclass, one per business failure. `code` is stable, for programs; `detail` is a sentence for people."""

    status: ClassVar[int]
    code: ClassVar[str]
    detail: str

    def __init__(self, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(self.code)
        self.headers = dict(headers or {})


class Unavailable(Problem):
    """`retry_after`: whole seconds."""

    status = 503
    code = "temporarily_unavailable"
    detail = "Temporarily unavailable, please try again"

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(headers={"Retry-After": str(max(1, retry_after))})


class TooManyRequests(Problem):
    status = 429
    code = "too_many_requests"
    detail = "Too many attempts, please wait"

    def __init__(self, retry_after: float) -> None:
        super().__init__(headers={"Retry-After": str(max(1, int(-(-retry_after // 1))))})


class ItemNotFound(Problem):
    status = 404
    code = "item_not_found"
    detail = "Item not found"


def document(status: int, code: str, detail: str, **members: Any) -> dict[str, Any]:
    return {
        "type": f"urn:login2fa:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **members,
    }


def install(app: FastAPI, *, token_endpoints: frozenset[str] = frozenset()) -> None:
    """Make `app` answer every failure with a problem document. `token_endpoints`: the paths that RFC 6749 covers."""

    def answer(
        request: Request,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> JSONResponse:
        if request.url.path in token_endpoints:
            members["error"] = _OAUTH_ERRORS.get(status, "invalid_request")
            members["error_description"] = detail
        content = document(status, code, detail, **members)
        return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
        return answer(request, error.status, error.code, error.detail, error.headers)

    async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
        errors = invalid_requests.told(error.errors())
        first = f"{errors[0]['field']}: {errors[0]['detail']}" if errors else "Request not valid"
        return answer(request, 422, "invalid_request", first, errors=errors)

    async def on_http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
        status = HTTPStatus(error.status_code)
        detail = _SENTENCES.get(status, str(error.detail))
        return answer(request, status, status.name.lower(), detail, _headers(request, error))

    async def on_database_error(request: Request, error: Exception) -> JSONResponse:
        if is_transient(error):
            log.warning("database unavailable", error=type(error).__name__, sqlstate=sqlstate(error))
            return await on_problem(request, Unavailable())
        # Frames only: the error's text ("Failing row contains ...") can contain a password hash.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("unexpected error", error=type(error).__name__, sqlstate=sqlstate(error), traceback=frames)
        return something_went_wrong(request)

    async def on_bug(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", error=type(error).__name__, exc_info=error)
        return something_went_wrong(request)

    def something_went_wrong(request: Request) -> JSONResponse:
        return answer(request, 500, "internal_error", "Something went wrong on our side")

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(SQLAlchemyError, on_database_error)
    app.add_exception_handler(OSError, on_database_error)  # asyncpg: connection refused, timed out
    app.add_exception_handler(Exception, on_bug)


async def respond(request: Request, error: Exception) -> Response:
    handlers = request.app.exception_handlers
    handler = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
    response: Response = await handler(request, error)
    return response


def _headers(request: Request, error: HTTPException) -> dict[str, str]:
    """405 lists all methods of the path (RFC 9110 section 15.5.6); the framework lists those of one route."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request)
    return headers


def _allowed(request: Request) -> str:
    contexts = [context for context in iter_route_contexts(request.app.routes) if context.path]
    fitting = [context for context in contexts if _pattern(str(context.path)).match(request.url.path)]
    methods = {method for context in fitting for method in context.methods or ()}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return compile_path(path)[0]
