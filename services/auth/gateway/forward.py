"""Forward-auth: a gateway asks whether a request may pass, and whose it is (docs/decisions/0006-forward-auth.md).
What it demands is in the path of its question (demands.py). Gateways forward only 401 and 403 (nginx turns others into
500). Envoy uses the client's method and needs a 200.

Proved addresses and second factors are demanded here, not at the login: an account without them can still log in, and
do what is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth.api.guards import CurrentSession, composed, current_session
from services.auth.gateway.demands import GRAMMAR, PATH, demanded
from shared.names import GROUP_NAME
from shared.web import problems
from shared.web.bearer import (
    REALM,
    AccessScheme,
    InsufficientAuthentication,
    NotPermitted,
    SecondFactorRequired,
    TokenMissing,
    TokenNotValid,
)
from shared.web.cookies import GATE, SESSION, CookieTwice, cookie
from shared.web.lean_route import LeanRoute
from shared.web.openapi_responses import NOT_AUTHENTICATED, ONLY, refused
from shared.web.problems import Problem

# Envoy appends the client's path and query after `/envoy`; they may be anything.
_ASKED = re.compile(f"(?P<route>{PATH}{GRAMMAR})(?:/|(?P<envoy>/envoy(?:/.*)?))?", re.DOTALL)
_OK, _NO_CONTENT = 200, 204
_CARRIED = {_NO_CONTENT, 401, 403}

_HEADERS = {
    "X-Auth-Subject": "Account id",
    "X-Auth-Session": "Session id",
    "X-Auth-Admin": "`true` or `false`: whether the account is an administrator at this moment",
    "X-Auth-Verified": "`true` or `false`: whether the account's address is proved",
    "X-Auth-Groups": "The account's groups with commas between them; empty if there are none",
    "X-Auth-Acr": "Class of the login, by the token: `1` one factor, `2` two, `3` a passkey",
    "X-Auth-Amr": "Methods of the login (RFC 8176), by the token, with spaces between them",
    "X-Auth-Time": "When the person last proved who they are, by the token; Unix seconds",
}


_NAMES = tuple(name.lower().encode() for name in _HEADERS)


class EmailNotVerified(Problem):
    status = 403
    code = "email_not_verified"
    detail = (
        "This address is not proved yet: ask for a code with `POST /api/v1/users/verify-email/send`, and send the code"
        " of that mail to `POST /api/v1/users/verify-email`"
    )
    headers: Mapping[str, str] = {
        "WWW-Authenticate": f'{REALM}, error="insufficient_scope", error_description="{detail}"'
    }


_RESPONSES: dict[int | str, dict[str, Any]] = {
    204: {
        "description": "The request may pass",
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()},
    },
    **refused(*NOT_AUTHENTICATED, EmailNotVerified, SecondFactorRequired),
}
_RESPONSES_TO_DEMANDS = _RESPONSES | refused(
    *NOT_AUTHENTICATED, InsufficientAuthentication, EmailNotVerified, SecondFactorRequired, NotPermitted
)
_ONLY = {ONLY: [204, 401, 403]}

_ONE = rf"group/{GROUP_NAME}|acr/[123]|age/[1-9][0-9]{{0,8}}"
_DEMANDS = {
    "name": "demands",
    "in": "path",
    "required": True,
    "description": (
        "In this order, and all must hold: `admin`; `group/{name}`, for each group that the account must be in;"
        " `acr/{1|2|3}`, the least class of the login; `age/{seconds}`, since the person last proved who they are."
        " The slashes are sent as they are: percent-encoded ones are refused"
    ),
    "schema": {"type": "string", "pattern": f"^(admin|{_ONE})(/({_ONE}))*$"},
    "examples": {each: {"value": each} for each in ("admin", "group/staff", "acr/2/age/300")},
}

router = APIRouter(prefix=PATH, route_class=LeanRoute)


async def passing_session(request: Request, _scheme: AccessScheme = None) -> CurrentSession:
    """Raises `TokenNotValid`, `EmailNotVerified`, `SecondFactorRequired`, and what `demanded` and `check` raise."""
    demands = demanded(request.scope["raw_path"])
    current = await _current(request)
    session, settings = current.session, (await composed(request)).settings
    if settings.email_verification == "required" and not session.email_verified:
        raise EmailNotVerified
    if settings.demands_second_factor(is_admin=session.of_admin) and not current.token.second_factor:
        raise SecondFactorRequired
    demands.check(current)
    return current


async def _current(request: Request) -> CurrentSession:
    """By the token, and without one by the cookie of a browser."""
    try:
        return await current_session(request)
    except TokenMissing:
        auth = await composed(request)
        try:
            given = cookie(request.scope, GATE if auth.settings.gate_cookie_domain else SESSION)
        except CookieTwice:
            raise TokenNotValid from None
        if given is None:
            raise
        found = await auth.cookies.at_gateway(given)
        if found is None:
            raise TokenNotValid from None
        return CurrentSession(token=found.token, session=found.session)


Passing = Annotated[CurrentSession, Depends(passing_session)]


@router.get(
    "",
    status_code=204,
    response_model=None,
    responses=_RESPONSES,
    openapi_extra=_ONLY,
    summary="For a gateway: may this request pass, and whose is it?",
)
async def forward(current: Passing) -> Response:
    """Refused with 401 or 403 and nothing else. Any other method is answered like GET; a body is not looked at."""
    return _passes(current)


@router.get(
    "/{demands:path}",  # noqa: FAST003 - its guard reads the path as it was sent
    status_code=204,
    response_model=None,
    responses=_RESPONSES_TO_DEMANDS,
    openapi_extra=_ONLY | {"parameters": [_DEMANDS]},
    summary="The same, with demands on the account and its login",
)
async def forward_demands(current: Passing) -> Response:
    """Nothing is read from the query, which is the client's. Anything else in the path is refused: 403 `not_found`."""
    return _passes(current)


def _passes(current: CurrentSession) -> Response:
    token, session = current.token, current.session
    values = (
        str(token.account),
        str(token.session),
        "true" if session.is_admin else "false",
        "true" if session.email_verified else "false",
        ",".join(session.groups),  # empty, not left out: a gateway may leave a client's own header where we send none
        str(token.acr),
        " ".join(token.amr),
        str(token.auth_time),
    )
    answer = Response(status_code=_NO_CONTENT)
    # Given as an argument, the names would be lowered and encoded for each answer: 4 µs of the 50 of a check.
    answer.raw_headers += [(name, value.encode()) for name, value in zip(_NAMES, values, strict=True)]
    return answer


class AnswersGateways:
    """Below `PATH`, makes each request a GET, and each response one that a gateway can forward."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{PATH}/"):
            await self._app(scope, receive, send)
            return
        if scope["path"] == PATH and scope["method"] == "GET":
            await self._app(scope, receive, _Answer(send, _NO_CONTENT))
            return
        # A copy: the server reads the method in its own scope, to send no body for HEAD.
        request, yes = {**scope, "method": "GET"}, _NO_CONTENT
        matched = _ASKED.fullmatch(scope["raw_path"].decode("latin-1"))
        # The client's path is ignored, but an unprintable one must still be refused (shared.web.understood).
        if matched is not None and scope["path"].isprintable():
            route = matched["route"]
            request |= {"path": route, "raw_path": route.encode()}
            if matched["envoy"]:
                request["query_string"], yes = b"", _OK
        await self._app(request, receive, _Answer(send, yes))


class _Answer:
    """Sends 204 as `yes`, and a status that a gateway can not forward as 403 with the same code and detail."""

    def __init__(self, send: Send, yes: int) -> None:
        self._send = send
        self._yes = yes
        self._refusal: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            await self._send_body(message)
        elif message["status"] not in _CARRIED:
            self._refusal = message
        else:
            if message["status"] == _NO_CONTENT and self._yes == _OK:
                message = {**message, "status": _OK}
                MutableHeaders(scope=message)["Content-Length"] = "0"
            await self._send(message)

    async def _send_body(self, message: Message) -> None:
        if self._refusal is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._send_refusal(self._refusal)

    async def _send_refusal(self, original: Message) -> None:
        refusal = json.loads(self._body)
        content = problems.document(403, refusal["code"], refusal["detail"])
        answer = JSONResponse(content, 403, media_type=problems.MEDIA_TYPE)
        headers = MutableHeaders(raw=list(original["headers"]))
        headers["Content-Length"] = answer.headers["Content-Length"]
        await self._send({**original, "status": 403, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": answer.body})
