"""The answers of each route in the OpenAPI document: its refusals with their codes, and those that all routes share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any

from shared.web.bearer import SchemeNotBearer, TokenMissing, TokenNotValid
from shared.web.problems import MEDIA_TYPE, ItemNotFound, Problem, document

Responses = dict[int | str, dict[str, Any]]

NOT_AUTHENTICATED = (TokenMissing, SchemeNotBearer, TokenNotValid)

ONLY = "x-only-statuses"  # key of an operation that lists all its statuses itself: none is added
_SAID = "x-problems"  # key of an answer, until `refusals` makes a schema of it: a sentence for each code

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_OWN_WORDS = "in words of its own"

# What every route answers, whatever it is about: by status, in words and as a sentence for each code.
_COMMON: dict[int, tuple[str, dict[str, str]]] = {
    400: (
        "`bad_request`: The path, or the client's address as a proxy tells it, can not be understood",
        {"bad_request": "The request could not be understood"},
    ),
    422: (
        "`invalid_request`: `errors` names each field or parameter at fault; one that is not known is at fault",
        {"invalid_request": "otp: This field is missing"},
    ),
    413: (
        "The request body is too large. The connection closes",
        {"content_too_large": "The request body is too large: at most 65536 bytes are read"},
    ),
    431: (
        "The request headers are too large",
        {"headers_too_large": "The request headers are too large: at most 16384 bytes are read"},
    ),
    500: (
        "Our fault: the log has it, under the `X-Request-ID` of the answer",
        {"internal_error": "Something went wrong on our side"},
    ),
    503: (
        "Not now: overloaded, or something is away",
        {"temporarily_unavailable": "Temporarily unavailable, please try again"},
    ),
}
_NOT_FOUND = {"not_found": "There is nothing at this path"}

_SHARED = {
    frozenset(each.code for each in NOT_AUTHENTICATED): "NotAuthenticatedProblem",
    frozenset({ItemNotFound.code, *_NOT_FOUND}): "NotFoundProblem",
}

HEADERS: dict[str, Any] = {
    "X-Request-ID": {
        "description": "The id of the request in the logs: the one that the client sent, or a new one",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the same request",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "RFC 6750 section 3: what is wrong with the token, or what was demanded of it",
        "required": True,
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "The version of what is shown: for `If-Match` or `If-None-Match`",
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "The path of what was made",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Link": {
        "description": 'RFC 8288: the next page, as `<path>; rel="next"`; absent on the last page',
        "required": False,
        "schema": {"type": "string"},
    },
}
_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After",),
}


def refused(*problems: type[Problem]) -> Responses:
    by_status: dict[int, list[type[Problem]]] = {}
    for problem in problems:
        by_status.setdefault(problem.status, []).append(problem)
    return {status: _refused(status, each) for status, each in by_status.items()}


def _refused(status: int, problems: list[type[Problem]]) -> dict[str, Any]:
    codes = {problem.code: getattr(problem, "detail", _OWN_WORDS) for problem in reversed(problems)}
    codes = dict(reversed(codes.items()))
    always = set.intersection(*(set(problem.headers) for problem in problems))
    return _answer(status, _told(codes), codes, always)


def sends(*names: str) -> dict[str, Any]:
    """The `headers` of an answer."""
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def leads_to(method: str, path: str, fields: dict[str, str]) -> dict[str, Any]:
    """An OpenAPI link: `fields` fill the body of the next request, with runtime expressions."""
    place = path.replace("~", "~0").replace("/", "~1")
    return {"operationRef": f"#/paths/{place}/{method}", "requestBody": fields}


def with_common_codes(answer: dict[str, Any]) -> dict[str, Any]:
    """For an answer that stands for any other refusal as well."""
    everything = {code: text for _, codes in _COMMON.values() for code, text in codes.items()} | _NOT_FOUND
    headers = {name: header for name, header in answer["headers"].items() if name != "WWW-Authenticate"}
    return answer | {"headers": headers, _SAID: answer[_SAID] | everything}


def _told(codes: Mapping[str, str]) -> str:
    return "; ".join(f"`{code}`: {sentence}" for code, sentence in codes.items())


def _answer(
    status: int, description: str, codes: Mapping[str, str], headers: Collection[str] = frozenset()
) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": _PROBLEM}}
    sent = sends(*sorted({*headers, *_BY_STATUS.get(HTTPStatus(status), ())}))
    return {"description": description, "content": content, **sent, _SAID: dict(codes)}


def completed(operation: dict[str, Any]) -> dict[str, Any]:
    """The responses of `operation`, plus those of middleware, guard and schemas."""
    own: dict[str, Any] = operation["responses"]
    if ONLY in operation:
        return own
    invalid = own.get("422")
    if invalid is not None and MEDIA_TYPE not in invalid["content"]:  # FastAPI's, not the route's own problem
        del own["422"]
    common = dict(_COMMON)
    if operation.get("security"):
        missing = refused(*NOT_AUTHENTICATED)[401]
        common[401] = (missing["description"], missing[_SAID])
    if "404" in own and any(each["in"] == "path" for each in operation.get("parameters", ())):
        common[404] = (_told(_NOT_FOUND), _NOT_FOUND)
    added = {str(status): _answer(status, *said) for status, said in common.items()}
    both = {status: _joined(own[status], answer) for status, answer in added.items() if status in own}
    return dict(sorted((added | own | both).items()))


def _joined(own: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    description = f"{own['description']}; {common['description']}"
    return own | {"description": description, _SAID: own[_SAID] | common[_SAID]}


def refusals(operation: dict[str, Any]) -> dict[str, Any]:
    """Gives each refusal of `operation` a schema with its codes as an enum, and all answers the header of the request's
    id. Returns the schemas by their names, which generated clients use.
    """
    schemas: dict[str, Any] = {}
    for status, answer in operation["responses"].items():
        answer["headers"] = sends("X-Request-ID")["headers"] | answer.get("headers", {})
        if (codes := answer.pop(_SAID, None)) is not None:
            name = _name(codes, operation["operationId"], status)
            schemas[name] = _schema(int(status), codes)
            answer["content"] = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return schemas


def _name(codes: Mapping[str, str], operation: str, status: str) -> str:
    """Equal codes of several operations share a name only if it can not change with the operations that there are."""
    if len(codes) == 1:
        return f"{_pascal(*codes)}Problem"
    if shared := _SHARED.get(frozenset(codes)):
        return shared
    return f"{_pascal(operation)}{status}Problem"


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _schema(status: int, codes: Mapping[str, str]) -> dict[str, Any]:
    code, sentence = min(codes.items(), key=lambda each: each[1] == _OWN_WORDS)  # the first with a sentence, if any
    shown = {"type": "object", "required": ["code"], "properties": {"code": {"type": "string", "enum": sorted(codes)}}}
    return {"allOf": [_PROBLEM, shown], "examples": [document(status, code, sentence)]}
