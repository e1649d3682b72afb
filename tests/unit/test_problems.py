"""Every refusal is a problem document that helps the client and tells an attacker nothing: shared.web.problems."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from shared.web.problems import Problem, TooManyRequests, Unavailable
from tests.asking import client_of, problem, small_app

CANARY = "canary-0123456789"


class Form(BaseModel):
    password: str = Field(min_length=3, max_length=8)
    number: int = 0
    kind: dict[str, int] = {}


class Teapot(Problem):
    status = 418
    code = "teapot"
    detail = "Short and stout"
    headers: Mapping[str, str] = {"X-Lid": "on"}


class Lost(Exception):
    """A driver's error, as far as it matters: its SQLSTATE."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(CANARY)
        self.sqlstate = sqlstate


RAISED: dict[str, Exception] = {
    "teapot": Teapot(),
    "unavailable": Unavailable(),
    "unavailable-7": Unavailable(retry_after=7),
    "wait": TooManyRequests(retry_after=1.2),
    "wait-not": TooManyRequests(retry_after=-3),
    "bug": RuntimeError(CANARY),
    "connection-refused": ConnectionRefusedError(CANARY),
    "timeout": TimeoutError(CANARY),
    "pool": PoolExhausted(CANARY),
    "starting-up": OperationalError(CANARY, {}, Lost("57P03")),
    "too-many-connections": OperationalError(CANARY, {}, Lost("53300")),
    "read-only": OperationalError(CANARY, {}, Lost("25006")),
    "constraint": IntegrityError(CANARY, {}, Lost("23505")),
    "orm": SQLAlchemyError(CANARY),
}


def failing_app() -> FastAPI:
    app = small_app(token_endpoints=frozenset({"/token"}))

    @app.post("/form")
    async def form(given: Form) -> str:
        return given.password

    @app.post("/token")
    async def token(given: Form) -> str:
        if given.number:
            raise {400: Teapot400, 401: Teapot401}[given.number]
        raise Unavailable

    @app.get("/raise/{name}")
    async def fail(name: str) -> None:
        raise RAISED[name]

    return app


class Teapot400(Teapot):
    status = 400


class Teapot401(Teapot):
    status = 401


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(failing_app()) as client:
        yield client


async def test_a_business_failure_carries_its_status_code_sentence_headers_and_members(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/raise/teapot")
    assert problem(answer, 418, "teapot") == {
        "type": "urn:login2fa:problem:teapot",
        "title": "I'm a Teapot",
        "status": 418,
        "detail": "Short and stout",
        "code": "teapot",
    }
    assert answer.headers["x-lid"] == "on"


@pytest.mark.parametrize(
    "body",
    [
        {"password": CANARY},
        {"password": [CANARY]},
        {"password": 5, "number": CANARY},
        {"password": "good", "number": CANARY},
        {"password": "good", "kind": {"a": CANARY}},
        {"password": "good", "kind": CANARY},
        [CANARY],
        CANARY,
        {CANARY: CANARY},
    ],
)
async def test_a_validation_error_never_repeats_what_was_sent(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post("/form", json=body)
    problem(answer, 422, "invalid_request")
    assert CANARY not in answer.text


@pytest.mark.parametrize("body", [f'{{"password": "{CANARY}', CANARY, "\ud800".encode("utf-8", "surrogatepass"), b"\0"])
async def test_a_body_that_is_no_json_is_refused_without_repeating_it(
    client: httpx.AsyncClient, body: str | bytes
) -> None:
    answer = await client.post("/form", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert CANARY not in answer.text


async def test_a_validation_error_names_each_field_at_fault(client: httpx.AsyncClient) -> None:
    answer = await client.post("/form", json={"password": "no", "number": "x"})
    document = problem(answer, 422, "invalid_request")
    assert [error["field"] for error in document["errors"]] == ["password", "number"]
    assert document["detail"] == "password: At least 3 characters are wanted"


async def test_a_syntax_error_is_told_of_the_body_and_not_of_a_field_with_a_number(client: httpx.AsyncClient) -> None:
    answer = await client.post("/form", content=b'{"password"', headers={"Content-Type": "application/json"})
    assert problem(answer, 422, "invalid_request")["detail"].startswith("body: The body is not valid JSON")


async def test_the_name_of_a_field_is_repeated_only_so_far(client: httpx.AsyncClient) -> None:
    answer = await client.post("/form", json={"password": "good", "kind": {"k" * 500: "x"}})
    (error,) = problem(answer, 422, "invalid_request")["errors"]
    assert len(error["field"]) == 100


@pytest.mark.parametrize(
    ("number", "status", "error"),
    [(400, 400, "invalid_grant"), (401, 401, "invalid_grant"), (0, 503, "temporarily_unavailable")],
)
async def test_a_token_endpoint_adds_the_members_of_rfc_6749(
    client: httpx.AsyncClient, number: int, status: int, error: str
) -> None:
    answer = await client.post("/token", json={"password": "good", "number": number})
    document = answer.json()
    assert answer.status_code == status
    assert (document["error"], document["error_description"]) == (error, document["detail"])


async def test_a_malformed_request_to_a_token_endpoint_is_an_invalid_request(client: httpx.AsyncClient) -> None:
    document = problem(await client.post("/token", json={}), 422, "invalid_request")
    assert (document["error"], document["error_description"]) == ("invalid_request", document["detail"])


async def test_other_endpoints_have_no_oauth_members(client: httpx.AsyncClient) -> None:
    for answer in (await client.post("/form", json={}), await client.get("/raise/unavailable")):
        assert not {"error", "error_description"} & answer.json().keys()


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(client: httpx.AsyncClient) -> None:
    problem(await client.get("/nowhere"), 404, "not_found")
    wrong = await client.put("/raise/bug")
    problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("name", ["bug", "constraint", "orm"])
async def test_an_unexpected_error_tells_the_client_nothing(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/raise/{name}", headers={"X-Request-ID": "request-1"})
    assert problem(answer, 500, "internal_error") == {
        "type": "urn:login2fa:problem:internal_error",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something went wrong on our side",
        "code": "internal_error",
    }
    assert answer.headers["x-request-id"] == "request-1"
    assert CANARY not in json.dumps(dict(answer.headers))


@pytest.mark.parametrize(
    "name", ["connection-refused", "timeout", "pool", "starting-up", "too-many-connections", "read-only"]
)
async def test_a_database_that_is_away_is_a_503_and_not_a_bug(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/raise/{name}")
    problem(answer, 503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    ("name", "status", "seconds"),
    [("unavailable", 503, "1"), ("unavailable-7", 503, "7"), ("wait", 429, "2"), ("wait-not", 429, "1")],
)
async def test_not_now_says_after_how_many_whole_seconds(
    client: httpx.AsyncClient, name: str, status: int, seconds: str
) -> None:
    answer = await client.get(f"/raise/{name}")
    assert answer.status_code == status
    assert answer.headers["retry-after"] == seconds


async def test_a_method_that_is_not_there_is_answered_with_all_that_are() -> None:
    """RFC 9110 section 15.5.6; the framework named those of the first route of the path alone."""
    app = small_app()

    async def route() -> None: ...

    for add in (app.get, app.patch, app.delete):
        add("/things/{name}")(route)
    async with client_of(app) as client:
        answer = await client.put("/things/a")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"
