"""The refusals of each route in the OpenAPI document, and those that all routes share."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from shared.web.bearer import SchemeNotBearer, TokenMissing, TokenNotValid
from shared.web.problems import MEDIA_TYPE, Problem

Responses = dict[int | str, dict[str, Any]]

_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
_WITH_RETRY_AFTER = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

NOT_AUTHENTICATED = (TokenMissing, SchemeNotBearer, TokenNotValid)

ONLY = "x-only-statuses"  # key of an operation that lists all its statuses itself: none is added


def refused(*problems: type[Problem]) -> Responses:
    by_status: dict[int, list[str]] = {}
    for problem in problems:
        sentence = getattr(problem, "detail", "in words of its own")
        by_status.setdefault(problem.status, []).append(f"`{problem.code}`: {sentence}")
    return {status: answer(status, "; ".join(told)) for status, told in by_status.items()}


def leads_to(method: str, path: str, fields: dict[str, str]) -> dict[str, Any]:
    """An OpenAPI link: `fields` fill the body of the next request, with runtime expressions."""
    place = path.replace("~", "~0").replace("/", "~1")
    return {"operationRef": f"#/paths/{place}/{method}", "requestBody": fields}


def answer(status: int, description: str) -> dict[str, Any]:
    headers = {"headers": _RETRY_AFTER} if status in _WITH_RETRY_AFTER else {}
    return {"description": description, "content": _CONTENT, **headers}


def completed(operation: dict[str, Any]) -> dict[str, Any]:
    """The responses of `operation`, plus those of middleware, guard and schemas."""
    own: dict[str, Any] = operation["responses"]
    if ONLY in operation:
        return own
    added = {
        400: "`bad_request`: The path, or the client's address as a proxy tells it, can not be understood",
        422: "`invalid_request`: `errors` names each field or parameter at fault; one that is not known is at fault",
        413: "The request body is too large. The connection closes",
        431: "The request headers are too large",
        500: "Our fault: the log has it, under the `X-Request-ID` of the answer",
        503: "Not now: overloaded, or something is away",
    }
    if operation.get("security"):
        added[401] = refused(*NOT_AUTHENTICATED)[401]["description"]
    invalid = own.pop("422", None)
    if invalid is not None and MEDIA_TYPE in invalid["content"]:  # the route's own problem, not FastAPI's
        added[422] = f"{invalid['description']}; {added[422]}"
    return dict(sorted(({str(status): answer(status, text) for status, text in added.items()} | own).items()))
