"""A slash more or less at the end of a path is the same route, and HEAD is answered as GET is, on both services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Annotated
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.routing import iter_route_contexts

from services.auth import app as auth
from services.auth.app import RATE_LIMITED as AUTH_RATE_LIMITED
from services.auth.settings import AuthSettings
from services.users import app as users
from services.users.routes import RATE_LIMITED as USERS_RATE_LIMITED
from services.users.settings import UsersSettings
from shared.web.application import Service
from shared.web.bearer import AccessScheme, bearer_token
from shared.web.lean_route import LeanRoute
from shared.web.rate_limit import Buckets, RateLimiter
from tests.asking import client_of, problem, small_app
from tests.raw_http import request, watched

IDS: dict[str, object] = {
    "demands": "admin",
    **dict.fromkeys(("user_id", "account_id", "session_id", "app_id", "device_id", "passkey_id"), uuid4()),
}


def built() -> dict[str, Service]:
    """Without their parts: guards refuse, and who is let in gets as far as our fault."""
    apps = {
        "auth": auth.build(AuthSettings.model_construct()),
        "users": users.build(UsersSettings.model_construct()),
    }
    for app in apps.values():
        app.state.auth = app.state.users = SimpleNamespace()
    return apps


def routes() -> Iterator[tuple[str, str, str]]:
    for name, app in built().items():
        for context in iter_route_contexts(app.routes):
            for method in sorted(context.methods or ()):
                yield name, method, str(context.path_format).format(**IDS)


def other_spelling(path: str) -> str:
    return path[:-1] if path.endswith("/") else f"{path}/"


def told(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: text for name, text in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, answer.content, headers


@pytest.fixture
async def clients() -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    apps = built()
    async with client_of(apps["auth"]) as auth_client, client_of(apps["users"]) as users_client:
        yield {"auth": auth_client, "users": users_client}


@pytest.mark.parametrize(("service", "method", "path"), list(routes()))
async def test_with_a_slash_more_or_less_each_route_answers_the_same(
    clients: dict[str, httpx.AsyncClient], service: str, method: str, path: str
) -> None:
    as_documented = await clients[service].request(method, path)
    otherwise = await clients[service].request(method, other_spelling(path))

    assert as_documented.status_code not in {307, 308, 404, 405}
    assert told(otherwise) == told(as_documented)


@pytest.mark.parametrize(("service", "method", "path"), [each for each in routes() if each[1] == "GET"])
async def test_head_is_answered_as_get_is(
    clients: dict[str, httpx.AsyncClient], service: str, method: str, path: str
) -> None:
    for spelling in (path, other_spelling(path)):
        got, headed = await clients[service].get(spelling), await clients[service].head(spelling)
        assert headed.status_code == got.status_code
        assert {**headed.headers, "x-request-id": ""} == {**got.headers, "x-request-id": ""}


async def test_the_answer_to_head_has_no_body_on_the_connection() -> None:
    async with watched(built()["users"]) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request("HEAD /api/v1/users/me/", ["Connection: close"]))
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"content-length: " in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_where_there_is_no_get_there_is_no_head(clients: dict[str, httpx.AsyncClient]) -> None:
    answer = await clients["auth"].head("/api/v1/auth/token")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_two_slashes_are_another_path(clients: dict[str, httpx.AsyncClient], method: str) -> None:
    """`/users/{id}/` without an id: whoever lost it must not delete or read something else."""
    problem(await clients["users"].request(method, "/api/v1/users//"), 404, "not_found")


# --- on a lean route, and at the limits


async def bearer(request: Request, _scheme: AccessScheme = None) -> str:
    return bearer_token(request.scope)


async def whose(token: Annotated[str, Depends(bearer)]) -> Response:
    return Response(token)


async def test_a_lean_route_is_answered_first_in_every_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    app = small_app()
    router = APIRouter(route_class=LeanRoute)
    router.get("/whose", response_model=None)(whose)
    app.include_router(router)

    async def must_not_be_asked(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(FastAPI, "__call__", must_not_be_asked)
    async with client_of(app) as client:
        for method, path in (("GET", "/whose"), ("GET", "/whose/"), ("HEAD", "/whose"), ("HEAD", "/whose/")):
            answer = await client.request(method, path, headers={"Authorization": "Bearer abc"})
            assert answer.status_code == 200, (method, path)


@pytest.mark.parametrize("path", sorted(AUTH_RATE_LIMITED | USERS_RATE_LIMITED))
async def test_a_limited_route_has_one_limit_in_both_spellings(path: str) -> None:
    app = small_app(limiter=RateLimiter(frozenset({path}), Buckets(1e-9, 2)))

    async def route() -> str:
        return "yes"

    app.post(path)(route)
    asked = path.replace("{user_id:uuid}", str(uuid4()))
    async with client_of(app) as client:
        statuses = [(await client.post(each)).status_code for each in (asked, other_spelling(asked), asked)]
        refused = await client.post(other_spelling(asked))

    assert statuses == [200, 200, 429]
    problem(refused, 429, "too_many_requests")
