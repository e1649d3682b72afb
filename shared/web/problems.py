"""Renders each failure as a problem document (RFC 9457); at token endpoints with members of RFC 6749 section 5.2."""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import RouteContext, iter_route_contexts
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from shared.database.pool import is_transient, sqlstate

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

# By pydantic's error type, with our limits, never with a value that was sent. Other types keep pydantic's message.
_FIELD_SENTENCES = {
    "missing": "This field is missing",
    "json_invalid": "The body is not valid JSON: it breaks off, or something in it is out of place",
    "model_type": "A JSON object is wanted",
    "model_attributes_type": "A JSON object is wanted",
    "dict_type": "A JSON object is wanted",
    "string_type": "A string is wanted, in quotes",
    "string_too_short": "At least {min_length} characters are wanted",
    "string_too_long": "At most {max_length} characters are allowed",
    # pydantic's types for the length of a string that another validator has checked first.
    "too_short": "At least {min_length} characters are wanted",
    "too_long": "At most {max_length} characters are allowed",
    "bool_type": "`true` or `false` is wanted, without quotes",
    "bool_parsing": "`true` or `false` is wanted",
    "int_type": "A whole number is wanted, without quotes",
    "int_parsing": "A whole number is wanted",
    "uuid_type": "A UUID is wanted, in quotes",
    "uuid_parsing": "A UUID is wanted, such as 01890a5d-ac96-774b-bcce-b302099a8057",
    "literal_error": "Only {expected} is allowed",
    "greater_than_equal": "At least {ge} is wanted",
    "less_than_equal": "At most {le} is allowed",
}


class Problem(Exception):
    """Raise a subclass, one per business failure. `code` is stable, for programs; `detail` is a sentence for people."""

    status: ClassVar[int]
    code: ClassVar[str]
    detail: str
    headers: Mapping[str, str] = {}

    def __init__(self) -> None:
        super().__init__(self.code)


class TryLater(Problem):
    """`retry_after`: seconds, rounded up."""

    def __init__(self, retry_after: float = 1) -> None:
        super().__init__()
        self.headers = {"Retry-After": str(max(1, math.ceil(retry_after)))}


class Unavailable(TryLater):
    status = 503
    code = "temporarily_unavailable"
    detail = "Temporarily unavailable, please try again"


class TooManyRequests(TryLater):
    status = 429
    code = "too_many_requests"
    detail = "Too many attempts, please wait"


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
        request: Request, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> JSONResponse:
        if request.url.path in token_endpoints:
            members["error"] = _OAUTH_ERRORS.get(status, "invalid_request")
            members["error_description"] = detail
        content = document(status, code, detail, **members)
        return JSONResponse(content, status, headers, MEDIA_TYPE)

    async def on_error(request: Request, error: Exception) -> JSONResponse:
        match error:
            case Problem():
                return answer(request, error.status, error.code, error.detail, error.headers)
            case RequestValidationError():
                errors = _described(error.errors())
                first = f"{errors[0]['field']}: {errors[0]['detail']}"
                return answer(request, 422, "invalid_request", first, errors=errors)
            case HTTPException():
                status = HTTPStatus(error.status_code)
                detail = _SENTENCES.get(status, str(error.detail))
                return answer(request, status, status.name.lower(), detail, _headers(request, error))
            case SQLAlchemyError() | OSError() if is_transient(error):
                log.warning("database unavailable", error=type(error).__name__, sqlstate=sqlstate(error))
                return await on_error(request, Unavailable())
            case SQLAlchemyError() | OSError():
                # Frames only: the error's text ("Failing row contains ...") can contain a password hash.
                frames = "".join(traceback.format_tb(error.__traceback__))
                log.error("unexpected error", error=type(error).__name__, sqlstate=sqlstate(error), traceback=frames)
            case _:
                log.error("unexpected error", error=type(error).__name__, exc_info=error)
        return answer(request, 500, "internal_error", "Something went wrong on our side")

    # OSError: asyncpg's refused and timed-out connections.
    for kind in (Problem, RequestValidationError, HTTPException, SQLAlchemyError, OSError, Exception):
        app.add_exception_handler(kind, on_error)


async def respond(request: Request, error: Exception) -> Response:
    response: Response = await request.app.exception_handlers[Exception](request, error)
    return response


def routes_at(app: FastAPI, path: str) -> list[RouteContext]:
    contexts = [context for context in iter_route_contexts(app.routes) if context.path]
    return [context for context in contexts if _pattern(str(context.path)).match(path)]


def _headers(request: Request, error: HTTPException) -> dict[str, str]:
    """405 lists all methods of the path (RFC 9110 section 15.5.6); the framework lists those of one route."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        routes = routes_at(request.app, request.url.path)
        methods = {method for route in routes for method in route.methods or ()}
        headers["Allow"] = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
    return headers


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return compile_path(path)[0]


def _described(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The member `errors` of a problem document: each invalid field with its sentence."""
    return [{"field": _field(error["loc"]), "detail": _sentence(error)} for error in errors]


def _sentence(error: Mapping[str, Any]) -> str:
    if sentence := _FIELD_SENTENCES.get(error["type"]):
        return sentence.format(**error.get("ctx", {})).replace(" 1 characters are ", " 1 character is ")
    return str(error["msg"]).removeprefix("Value error, ")


def _field(location: tuple[Any, ...]) -> str:
    """`body.email` becomes `email`."""
    if [type(part) for part in location[1:]] == [int]:  # offset of a JSON syntax error, not a field
        location = location[:1]
    parts = [str(part) for part in location[1:]] or [str(location[0])]
    return ".".join(parts)[:100]
