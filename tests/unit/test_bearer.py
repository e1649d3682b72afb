"""The bearer token of a request comes from one Authorization header and from nowhere else: RFC 6750."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from shared.bearer import BearerToken, NotPermitted
from tests.asking import client_of, problem, small_app

INVALID = 'Bearer realm="login2fa", error="invalid_token", error_description="Token not valid"'


def guarded_app() -> FastAPI:
    app = small_app()

    @app.post("/echo")
    async def echo(token: BearerToken) -> str:
        return token

    @app.get("/admin")
    async def admin(_token: BearerToken) -> str:
        raise NotPermitted

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(guarded_app()) as client:
        yield client


@pytest.mark.parametrize("header", ["Bearer a.b-c_d", "bearer a.b-c_d", "BEARER a.b-c_d", "Bearer   a.b-c_d"])
async def test_the_scheme_is_case_insensitive_and_spaces_are_free(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.post("/echo", headers={"Authorization": header})
    assert (answer.status_code, answer.json()) == (200, "a.b-c_d")


async def test_padding_reaches_the_reader_that_refuses_it(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", headers={"Authorization": "Bearer abc=="})
    assert answer.json() == "abc=="


async def test_without_a_token_the_challenge_names_no_error(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo")
    assert problem(answer, 401, "token_missing")["detail"] == "Token not valid"
    assert answer.headers.get_list("www-authenticate") == ['Bearer realm="login2fa"']


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer a, Bearer b",
        "Bearer a,b",
        "Bearer\ta",
        "Bearer =",
        "Bearer a=b",
        "Bearer tok\u00e9n".encode("latin-1"),
        "Bearer \u00b2".encode("latin-1"),
        "Basic YTpi",
        "Token abc",
        "BearerToken abc",
        "abc",
    ],
)
async def test_what_is_no_bearer_token_is_invalid(client: httpx.AsyncClient, header: str | bytes) -> None:
    value = header.encode() if isinstance(header, str) else header
    answer = await client.post("/echo", headers=[(b"Authorization", value)])
    assert problem(answer, 401, "invalid_token")["detail"] == "Token not valid"
    assert answer.headers.get_list("www-authenticate") == [INVALID]


@pytest.mark.parametrize("second", ["Bearer abc", "Bearer other", "Basic YTpi", ""])
async def test_two_authorization_headers_are_invalid(client: httpx.AsyncClient, second: str) -> None:
    answer = await client.post("/echo", headers=[("Authorization", "Bearer abc"), ("Authorization", second)])
    problem(answer, 401, "invalid_token")


async def test_a_token_in_the_body_or_a_cookie_is_not_looked_at(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", data={"access_token": "abc"}, headers={"Cookie": "access_token=abc"})
    problem(answer, 401, "token_missing")


async def test_a_token_in_the_query_is_refused_as_what_nobody_understands(client: httpx.AsyncClient) -> None:
    problem(await client.post("/echo?access_token=abc"), 422, "invalid_request")


async def test_missing_rights_are_told_apart_from_a_missing_token(client: httpx.AsyncClient) -> None:
    answer = await client.get("/admin", headers={"Authorization": "Bearer abc"})
    assert problem(answer, 403, "not_enough_permissions")["detail"] == "Not enough permissions"
    assert answer.headers["www-authenticate"] == 'Bearer realm="login2fa", error="insufficient_scope"'


def test_the_api_documentation_tells_of_the_bearer_scheme() -> None:
    document = guarded_app().openapi()
    assert document["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    assert document["paths"]["/echo"]["post"]["security"] == [{"bearer": []}]
