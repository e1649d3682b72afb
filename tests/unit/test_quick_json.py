"""What the quick way of a JSON body answers is what the framework answers: shared.web.quick_json."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, StrictStr

from shared.web import problems, shortcut
from shared.web.json_depth import ShallowJsonRoute
from shared.web.problems import ItemNotFound
from shared.web.quick_json import QuickJsonRoute

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
    shortcut.add(app, [route for route in router.routes if isinstance(route, APIRoute)])
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
    assert await answer(app_with(QuickJsonRoute), body, kind) == await answer(app_with(ShallowJsonRoute), body, kind)


async def test_a_body_in_pieces_is_read_to_its_end_on_either_way() -> None:
    for pieces in ((b'{"tok', b'en": "abc"}'), (b'{"tok', b'en": 1}')):

        async def sent(pieces: tuple[bytes, ...] = pieces) -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        quick, slow = [await answer(app_with(each), sent(), JSON) for each in (QuickJsonRoute, ShallowJsonRoute)]
        assert quick == slow


async def test_what_is_as_it_should_be_does_not_go_the_frameworks_way() -> None:
    app = app_with(QuickJsonRoute)
    (route,) = [route for route in app.routes if isinstance(route, QuickJsonRoute)]

    async def must_not_be_asked(*_: object) -> None:
        raise AssertionError

    route._framework = must_not_be_asked
    status, _headers, body = await answer(app, BODIES["right"], JSON)
    assert (status, body) == (200, b'{"token":"abc","agent":"a test","kind":"told"}')


def test_to_the_document_it_is_a_route_like_any_other() -> None:
    quick, slow = (app_with(each).openapi() for each in (QuickJsonRoute, ShallowJsonRoute))
    assert quick == slow
