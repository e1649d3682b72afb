"""A lean route is answered as the framework answers, with all that is around it: shared.web.lean_route."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import REGISTRY
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.web.application import Service
from shared.web.bearer import AccessScheme, NotPermitted, bearer_token
from shared.web.lean_route import LeanRoute
from shared.web.rate_limit import Buckets, RateLimiter
from tests.asking import client_of, problem, small_app

PATH = "/whose"
BODY = b"x"


async def bearer(request: Request, _scheme: AccessScheme = None) -> str:
    return bearer_token(request.scope)


async def whose(token: Annotated[str, Depends(bearer)]) -> Response:
    match token:
        case "forbidden":
            raise NotPermitted
        case "away":
            raise ConnectionRefusedError
        case "mistaken":
            raise ValueError(f"nobody shall read {token}")
    return Response(token, media_type="text/html")


@dataclass
class Asked:
    """What got as far as the framework."""

    paths: list[str] = field(default_factory=list)


class Recorder:
    def __init__(self, app: ASGIApp, asked: Asked) -> None:
        self._app = app
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._asked.paths.append(scope["path"])
        await self._app(scope, receive, send)


def app_with(asked: Asked, limiter: RateLimiter | None = None) -> Service:
    app = small_app(limiter=limiter)
    app.add_middleware(Recorder, asked=asked)
    router = APIRouter(route_class=LeanRoute)
    router.get(PATH, response_model=None)(whose)
    router.get(f"{PATH}/{{rest:path}}", response_model=None)(whose)
    app.include_router(router)
    return app


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def client(asked: Asked) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_with(asked)) as client:
        yield client


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-Request-ID": "request-1"}


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    return answer.status_code, dict(answer.headers), answer.content


@pytest.mark.parametrize("token", ["somebody", "forbidden", "away", "mistaken", "not a token"])
async def test_a_yes_a_refusal_and_a_fault_are_the_same_whether_the_framework_is_asked_or_not(
    client: httpx.AsyncClient, asked: Asked, token: str
) -> None:
    straight = await client.get(PATH, headers=bearing(token))
    assert asked.paths == []
    by_the_framework = await client.request("GET", PATH, headers=bearing(token), content=BODY)

    assert asked.paths == [PATH]
    assert told(straight) == told(by_the_framework)
    assert straight.headers["x-request-id"] == "request-1"


async def test_nobody_is_told_what_went_wrong_in_us(client: httpx.AsyncClient) -> None:
    answer = await client.get(PATH, headers=bearing("mistaken"))

    problem(answer, 500, "internal_error")
    assert "nobody shall read" not in answer.text


@pytest.mark.parametrize(
    ("content", "headers"),
    [(BODY, {}), (None, {"Content-Length": "00"}), (None, {"Transfer-Encoding": "chunked"})],
    ids=["a body", "a length of its own kind", "pieces"],
)
async def test_whatever_may_have_a_body_is_the_frameworks(
    client: httpx.AsyncClient, asked: Asked, content: bytes | None, headers: dict[str, str]
) -> None:
    answer = await client.request("GET", PATH, headers=bearing("somebody") | headers, content=content)

    assert (answer.status_code, asked.paths) == (200, [PATH])


async def test_a_body_that_is_said_to_be_empty_is_none(client: httpx.AsyncClient, asked: Asked) -> None:
    answer = await client.get(PATH, headers=bearing("somebody") | {"Content-Length": "0"})

    assert (answer.status_code, asked.paths) == (200, [])


async def test_headers_that_are_too_large_are_refused_before_anybody_is_asked_who_asks(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get(PATH, headers=bearing("mistaken") | {"X-Filler": "x" * 2048})

    problem(answer, 431, "headers_too_large")


async def test_below_a_path_whose_parameter_is_its_rest_all_is_answered_first(
    client: httpx.AsyncClient, asked: Asked
) -> None:
    for path in (f"{PATH}/a", f"{PATH}/a/b", f"{PATH}/{{rest:path}}"):
        assert (await client.get(path, headers=bearing("somebody"))).text == "somebody"
    assert asked.paths == []

    assert (await client.get(f"{PATH}a", headers=bearing("somebody"))).status_code == 404
    assert (await client.put(f"{PATH}/a", headers=bearing("somebody"))).status_code == 405


async def test_another_method_is_refused_by_the_framework(client: httpx.AsyncClient) -> None:
    answer = await client.put(PATH, headers=bearing("somebody"))

    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(("token", "status"), [("somebody", 200), ("forbidden", 403), ("mistaken", 500)])
async def test_a_request_that_is_answered_first_is_told_of_in_the_log_and_counted(
    client: httpx.AsyncClient, stream: StringIO, token: str, status: int
) -> None:
    labels = {"service": "test", "method": "GET", "route": PATH, "status": str(status)}

    def counted() -> float:
        return REGISTRY.get_sample_value("login2fa_http_request_seconds_count", labels) or 0

    before = counted()
    await client.get(PATH, headers=bearing(token))

    *_, line = map(json.loads, stream.getvalue().splitlines())
    assert line["event"] == "request"
    assert (line["method"], line["route"], line["status"]) == ("GET", PATH, status)
    assert counted() == before + 1


async def test_what_is_limited_is_the_frameworks_whose_limit_it_is(asked: Asked) -> None:
    limiter = RateLimiter(frozenset({PATH}), Buckets(rate=0.001, burst=1))
    async with client_of(app_with(asked, limiter)) as client:
        first = await client.get(PATH, headers=bearing("somebody"))
        second = await client.get(PATH, headers=bearing("somebody"))

    assert first.status_code == 200
    problem(second, 429, "too_many_requests")
