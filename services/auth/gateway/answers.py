"""Each question of a gateway as a GET of its route, and each answer as one that a gateway can forward."""

from __future__ import annotations

import json
import re

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth.gateway.browsers import Browsers, Question
from services.auth.gateway.demands import GRAMMAR, PATH
from shared.web import problems

# Envoy appends the client's path and query after `/envoy`; they may be anything.
_ASKED = re.compile(f"(?P<route>{PATH}{GRAMMAR})(?P<browser>/browser)?(?:/|/envoy(?P<envoy>(?:/.*)?))?", re.DOTALL)
_OK, _NO_CONTENT, _FOUND = 200, 204, 302
_REFUSALS = {401, 403}


class AnswersGateways:
    """`/browser` and `/envoy` are for this layer alone: the routes below `PATH` see neither."""

    def __init__(self, app: ASGIApp, browsers: Browsers) -> None:
        self._app = app
        self._browsers = browsers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{PATH}/"):
            await self._app(scope, receive, send)
            return
        if scope["path"] == PATH and scope["method"] == "GET":
            await self._app(scope, receive, _Answer(send, self._browsers, scope))
            return
        # A copy: the server reads the method in its own scope, to send no body for HEAD.
        request = {**scope, "method": "GET"}
        asked = _ASKED.fullmatch(scope["raw_path"].decode("latin-1"))
        # The client's path is ignored, but an unprintable one must still be refused (shared.web.understood).
        if asked is not None and scope["path"].isprintable():
            route = asked["route"]
            request |= {"path": route, "raw_path": route.encode()}
            if asked["envoy"] is not None:
                request["query_string"] = b""
        await self._app(request, receive, _Answer(send, self._browsers, scope, asked))


class _Answer:
    """Sends a yes, to Envoy as 200, and a refusal as 401 or 403 with the same code and detail, or as a redirect."""

    def __init__(self, send: Send, browsers: Browsers, scope: Scope, asked: re.Match[str] | None = None) -> None:
        self._send = send
        self._browsers = browsers
        self._scope = scope
        self._asked = asked
        self._refusal: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            await self._send_body(message)
        elif message["status"] != _NO_CONTENT:
            self._refusal = message
        else:
            if self._asked is not None and self._asked["envoy"] is not None:
                message = {**message, "status": _OK}
                MutableHeaders(scope=message)["Content-Length"] = "0"
            await self._send(message)

    async def _send_body(self, message: Message) -> None:
        if self._refusal is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._refuse(self._refusal, json.loads(self._body))

    async def _refuse(self, original: Message, refusal: dict[str, str]) -> None:
        question = self._question()
        page = self._browsers.page(refusal["code"], question)
        headers = MutableHeaders(raw=list(original["headers"]))
        status, body = original["status"], self._body
        if page and question.browser:
            status, body = _FOUND, b""
            headers["Location"] = page
            for name in ("Content-Type", "WWW-Authenticate"):
                del headers[name]
        else:
            if page:
                headers["X-Auth-Location"] = page
            if status not in _REFUSALS:
                status = 403
                content = problems.document(status, refusal["code"], refusal["detail"])
                body = bytes(JSONResponse(content).body)
        headers["Content-Length"] = str(len(body))
        await self._send({**original, "status": status, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})

    def _question(self) -> Question:
        if self._asked is None:
            return Question(scope=self._scope)
        acr, age, browser, envoy = self._asked.group("acr", "age", "browser", "envoy")
        return Question(scope=self._scope, acr=acr, age=age, browser=browser is not None, envoy=envoy)
