"""The way of a small JSON body that is as it should be.

FastAPI resolves and validates anew at each request what is the same each time; of a refresh that was a quarter. So a
route of this class validates the body itself. What does not pass is FastAPI's, which says what is wrong with it; so to
FastAPI it is a route like any other, in the document too.
"""

from __future__ import annotations

from typing import Any, Final, get_type_hints

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope, Send

from shared.web.guarded_route import Yes
from shared.web.json_depth import ShallowJsonRoute, refuse_deep

_JSON: Final = "application/json"


class QuickJsonRoute(ShallowJsonRoute):
    """Its endpoint takes `request`, which it can't read any more, and `given`, a model; it answers 200 with another."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._model: type[BaseModel] = get_type_hints(self.endpoint)["given"]
        self._framework = self.app
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        given = self._read(request, body)
        if given is None:
            await self._framework(scope, _again(body, receive), send)
            return
        answer: BaseModel = await self.endpoint(request, given)
        content = answer.model_dump_json().encode()
        headers = [(b"content-length", b"%d" % len(content)), (b"content-type", _JSON.encode())]
        await Yes(200, headers, content).send(send)

    def _read(self, request: Request, body: bytes) -> BaseModel | None:
        if request.headers.get("content-type") != _JSON:
            return None
        refuse_deep(body)
        try:
            return self._model.model_validate_json(body)
        except ValidationError:
            return None


def _again(body: bytes, receive: Receive) -> Receive:
    """As if nobody had read the body yet."""
    read = False

    async def replay() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
