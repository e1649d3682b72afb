"""A lean route that reads a JSON body answers as the framework does: shared.web.lean_route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, Field, StrictStr

from shared.web import problems
from shared.web.json_depth import ShallowJsonRoute
from shared.web.lean_route import LeanRoute
from shared.web.problems import ItemNotFound

JSON = "application/json"


class Given(BaseModel):
    token: StrictStr = Field(min_length=1, max_length=20)


class Told(BaseModel):
    token: str
    agent: str
    kind: str = "told"


async def tell(request: Request, given: Given) -> Told:
    if given.token == "missing":
        raise ItemNotFound
    return Told(token=given.token, agent=request.headers["user-agent"])


def app_with(route_class: type[ShallowJsonRoute]) -> FastAPI:
    app = FastAPI()
    problems.install(app, token_endpoints=frozenset())
    router = APIRouter(route_class=route_class)
    router.post("/tell")(tell)
    app.include_router(router)
    return app


async def answer(app: FastAPI, body: bytes | AsyncIterator[bytes], kind: str | None) -> tuple[int, Any, bytes]:
    headers = {"user-agent": "a test"} | ({} if kind is None else {"content-type": kind})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.post("/tell", content=body, headers=headers)
    return response.status_code, dict(response.headers), response.content


BODIES = {
    "right": b'{"token": "abc"}',
    "with spaces around": b' \n{"token" : "abc"}\r\n ',
    "with more than is asked for": b'{"token": "abc", "more": [1, {"a": null}]}',
    "named twice": b'{"token": "abc", "token": "def"}',
    "not ASCII": '{"token": "ä\\u00e4\U0001f600"}'.encode(),
    "half of a pair": b'{"token": "\\ud800"}',
    "not a number": b'{"token": "abc", "more": NaN}',
    "with a byte order mark": b'\xef\xbb\xbf{"token": "abc"}',
    "UTF-16": '{"token": "abc"}'.encode("utf-16"),
    "not UTF-8": b'{"token": "\xff"}',
    "with a zero": b'{"token": "a\0"}',
    "with an escaped zero": b'{"token": "a\\u0000"}',
    "a number": b'{"token": 1}',
    "too short": b'{"token": ""}',
    "too long": b'{"token": "%s"}' % (b"x" * 21),
    "missing": b"{}",
    "null": b"null",
    "a list": b"[]",
    "nothing": b"",
    "cut off": b'{"token": "ab',
    "with something after it": b'{"token": "abc"} x',
    "nested too deeply": b'{"token": "abc", "more": ' + b"[" * 40 + b"]" * 40 + b"}",
    "what the endpoint refuses": b'{"token": "missing"}',
}


@pytest.mark.parametrize("kind", [JSON, f"{JSON}; charset=utf-8", "APPLICATION/JSON", "text/plain", None, "a/b+json"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_whatever_is_sent_the_answer_is_that_of_the_framework(body: bytes, kind: str | None) -> None:
    assert await answer(app_with(LeanRoute), body, kind) == await answer(app_with(ShallowJsonRoute), body, kind)


async def test_a_body_in_pieces_is_read_to_its_end_on_either_way() -> None:
    for pieces in ((b'{"tok', b'en": "abc"}'), (b'{"tok', b'en": 1}')):

        async def sent(pieces: tuple[bytes, ...] = pieces) -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        quick, slow = [await answer(app_with(each), sent(), JSON) for each in (LeanRoute, ShallowJsonRoute)]
        assert quick == slow


async def test_what_is_as_it_should_be_is_not_left_to_the_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    async def must_not_be_asked(_request: Request) -> Response:
        raise AssertionError

    monkeypatch.setattr(ShallowJsonRoute, "get_route_handler", lambda _route: must_not_be_asked)
    status, _headers, body = await answer(app_with(LeanRoute), BODIES["right"], JSON)
    assert (status, body) == (200, b'{"token":"abc","agent":"a test","kind":"told"}')


def test_to_the_document_it_is_a_route_like_any_other() -> None:
    quick, slow = (app_with(each).openapi() for each in (LeanRoute, ShallowJsonRoute))
    assert quick == slow
