"""The bearer token of a request comes from one Authorization header and from nowhere else: RFC 6750."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request

from shared.web.bearer import AccessScheme, NotPermitted, TemporaryScheme, bearer_token
from tests.asking import client_of, problem, small_app

INVALID = 'Bearer realm="login2fa", error="invalid_token", error_description="Token not valid"'


def guarded_app() -> FastAPI:
    app = small_app()

    @app.post("/echo")
    async def echo(request: Request, _scheme: AccessScheme) -> str:
        return bearer_token(request.scope)

    @app.get("/admin")
    async def admin(_scheme: AccessScheme) -> str:
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


@pytest.mark.parametrize("headers", [{}, *({"Authorization": text} for text in ("", "Bearer", "bearer  "))])
async def test_without_a_token_the_challenge_names_no_error(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post("/echo", headers=headers)
    assert "Authorization: Bearer <token>" in problem(answer, 401, "token_missing")["detail"]
    assert answer.headers.get_list("www-authenticate") == ['Bearer realm="login2fa"']


@pytest.mark.parametrize("header", ["Basic YTpi", "Token abc", "BearerToken abc", "Bearer=abc", "abc", "a.b-c_d"])
async def test_another_scheme_is_called_one_and_is_as_good_as_no_token(client: httpx.AsyncClient, header: str) -> None:
    """RFC 6750 section 3.1: an unsupported method is told of no error."""
    answer = await client.post("/echo", headers={"Authorization": header})
    assert "does not begin with Bearer" in problem(answer, 401, "scheme_not_bearer")["detail"]
    assert answer.headers.get_list("www-authenticate") == ['Bearer realm="login2fa"']


@pytest.mark.parametrize(
    "header",
    [
        "Bearer a b",
        "Bearer a, Bearer b",
        "Bearer a,b",
        "Bearer\ta",
        "Bearer =",
        "Bearer a=b",
        "Bearer tok\u00e9n".encode("latin-1"),
        "Bearer \u00b2".encode("latin-1"),
        "Bearer Bearer abc",
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


def test_the_api_documentation_tells_which_kind_of_token_each_route_takes_and_where_it_comes_from() -> None:
    app = guarded_app()

    @app.post("/step")
    async def step(request: Request, _scheme: TemporaryScheme) -> str:
        return bearer_token(request.scope)

    document = app.openapi()
    schemes = document["components"]["securitySchemes"]
    assert {name: (each["type"], each["scheme"]) for name, each in schemes.items()} == {
        "access_token": ("http", "bearer"),
        "temporary_token": ("http", "bearer"),
    }
    for name, scheme in schemes.items():
        assert f"`{name}`" in scheme["description"]
        assert "without the word Bearer" in scheme["description"]
    assert document["paths"]["/echo"]["post"]["security"] == [{"access_token": []}]
    assert document["paths"]["/step"]["post"]["security"] == [{"temporary_token": []}]
