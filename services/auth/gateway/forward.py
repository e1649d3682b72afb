"""Forward-auth: a gateway asks whether a request may pass, and whose it is (docs/decisions/0006-forward-auth.md).
Gateways forward only 401 and 403 (nginx turns others into 500). Envoy uses the client's method and needs a 200.

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
from shared.web import problems
from shared.web.bearer import REALM, AccessScheme, NotPermitted, SecondFactorRequired
from shared.web.lean_route import LeanRoute
from shared.web.openapi_responses import NOT_AUTHENTICATED, ONLY, refused
from shared.web.problems import Problem

PATH = "/api/v1/auth/forward"

# Envoy appends the client's path and query after `/envoy`; they may be anything.
_ROUTE = re.compile(r"(?P<route>.*?)(?P<envoy>/envoy(?:/.*)?)?", re.DOTALL)
_OK, _NO_CONTENT = 200, 204
_CARRIED = {_NO_CONTENT, 401, 403}

_HEADERS = {
    "X-Auth-Subject": "Account id",
    "X-Auth-Session": "Session id",
    "X-Auth-Admin": "`true` or `false`: whether the account is an administrator at this moment",
    "X-Auth-Verified": "`true` or `false`: whether the account's address is proved",
    "X-Auth-Groups": "The account's groups with commas between them; empty if there are none",
}


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
    **refused(*NOT_AUTHENTICATED, EmailNotVerified, SecondFactorRequired, NotPermitted),
}
_ONLY = {ONLY: [204, 401, 403]}

router = APIRouter(prefix=PATH, route_class=LeanRoute)


async def passing_session(request: Request, _scheme: AccessScheme = None) -> CurrentSession:
    """Raises `TokenNotValid`, `EmailNotVerified`, `SecondFactorRequired`."""
    current = await current_session(request)
    session, settings = current.session, (await composed(request)).settings
    if settings.email_verification == "required" and not session.email_verified:
        raise EmailNotVerified
    if settings.demands_second_factor(is_admin=session.of_admin) and not session.second_factor:
        raise SecondFactorRequired
    return current


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
    "/admin",
    status_code=204,
    response_model=None,
    responses=_RESPONSES,
    openapi_extra=_ONLY,
    summary="The same, for administrators only",
)
async def forward_admin(current: Passing) -> Response:
    """403 for everybody else who is logged in."""
    if not current.session.is_admin:
        raise NotPermitted
    return _passes(current)


def _passes(current: CurrentSession) -> Response:
    token, session = current.token, current.session
    values = (
        str(token.account),
        str(token.session),
        "true" if session.is_admin else "false",
        "true" if session.email_verified else "false",
        ",".join(session.groups),  # empty, not left out: a gateway may leave a client's own header where we send none
    )
    return Response(status_code=_NO_CONTENT, headers=dict(zip(_HEADERS, values, strict=True)))


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
        matched = _ROUTE.fullmatch(scope["path"])
        assert matched is not None  # noqa: S101 - it matches every text
        # The rest is ignored, but an unprintable path must still be refused (shared.web.understood).
        path = matched["route"] if scope["path"].isprintable() else scope["path"]
        # A copy: the server reads the method in its own scope, to send no body for HEAD.
        request = {**scope, "method": "GET", "path": path, "raw_path": path.encode()}
        if matched["envoy"]:
            request["query_string"] = b""
        yes = _OK if matched["envoy"] else _NO_CONTENT
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
