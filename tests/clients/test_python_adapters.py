"""`login2fa-client` in ASGI, Flask and Django: the same caller gets the same answer."""

from __future__ import annotations

import re
from typing import Any

import django
import httpx
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from fastapi import FastAPI, Request
from flask import Flask, g

from login2fa_client import AccessToken, AccessTokens, Demands
from login2fa_client.asgi import AccessTokenMiddleware
from login2fa_client.django import access_token_required as of_django
from login2fa_client.flask import access_token_required as of_flask
from tests.clients.test_python import README, Server, tokens
from tests.forging import Signer, access_claims

STEPPED_UP = Demands(acr=3)


@pytest.fixture(scope="module", autouse=True)
def configured() -> None:
    settings.configure(ALLOWED_HOSTS=["*"])
    django.setup()


async def asgi(checked: AccessTokens, demands: Demands, headers: dict[str, str]) -> tuple[int, str | None, str]:
    inner = FastAPI()

    @inner.get("/")
    async def hello(request: Request) -> str:
        token: AccessToken = request.state.access_token
        return str(token.account)

    guarded = AccessTokenMiddleware(inner, checked, demands)
    transport = httpx.ASGITransport(guarded)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as client:
        answer = await client.get("/", headers=headers)
    return answer.status_code, answer.headers.get("www-authenticate"), answer.text.strip('"')


async def flask(checked: AccessTokens, demands: Demands, headers: dict[str, str]) -> tuple[int, str | None, str]:
    site = Flask(__name__)

    @site.get("/")
    @of_flask(checked, demands)
    def hello() -> str:
        return str(g.access_token.account)

    answer = await sync_to_async(site.test_client().get)("/", headers=headers)
    return answer.status_code, answer.headers.get("www-authenticate"), answer.text


async def django_(checked: AccessTokens, demands: Demands, headers: dict[str, str]) -> tuple[int, str | None, str]:
    @of_django(checked, demands)
    def hello(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(request.access_token.account))

    answer = await sync_to_async(hello)(RequestFactory().get("/", headers=headers))
    return answer.status_code, answer.headers.get("www-authenticate"), answer.content.decode()


each = pytest.mark.parametrize("ask", [asgi, flask, django_], ids=["asgi", "flask", "django"])


@each
async def test_a_good_token_passes_and_the_application_knows_whose_it_is(ask: Any) -> None:
    signer, claims = Signer(), access_claims()
    headers = {"Authorization": f"bearer {signer.token(claims)}"}
    assert await ask(tokens(Server(signer)), Demands(), headers) == (200, None, claims["sub"])


@each
@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, 'Bearer realm="login2fa"'),
        ({"Authorization": "Bearer x.y.z"}, 'Bearer realm="login2fa", error="invalid_token"'),
        ({"Authorization": "Basic eDp5"}, 'Bearer realm="login2fa", error="invalid_token"'),
        ({"Authorization": "Bearer a, Bearer b"}, 'Bearer realm="login2fa", error="invalid_token"'),
    ],
)
async def test_whoever_has_none_gets_a_challenge(ask: Any, headers: dict[str, str], challenge: str) -> None:
    status, told, _ = await ask(tokens(Server(Signer())), Demands(), headers)
    assert (status, told) == (401, challenge)


@each
async def test_a_demand_is_told(ask: Any) -> None:
    signer = Signer()
    headers = {"Authorization": f"Bearer {signer.token(access_claims(acr='urn:login2fa:acr:2'))}"}
    status, told, _ = await ask(tokens(Server(signer)), STEPPED_UP, headers)
    assert status == 401
    assert 'acr_values="urn:login2fa:acr:3"' in str(told)


@each
async def test_while_nobody_can_tell_it_is_503(ask: Any) -> None:
    signer, server = Signer(), Server()
    server.up = False
    headers = {"Authorization": f"Bearer {signer.token(access_claims())}"}
    assert (await ask(tokens(server), Demands(), headers))[0] == 503


async def test_a_websocket_without_a_token_is_closed_and_an_open_path_needs_none() -> None:
    seen: list[str] = []

    async def inner(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["path"])

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(dict(message))

    guarded = AccessTokenMiddleware(inner, tokens(Server(Signer())), open_paths=["/healthz"])
    await guarded({"type": "websocket", "path": "/", "headers": []}, receive, send)
    await guarded({"type": "http", "path": "/healthz", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert seen == ["/healthz"]


def test_the_code_of_the_readme_runs() -> None:
    given: dict[str, Any] = {"base_url": "http://login.test", "issuer": "i", "audience": "a", "__name__": __name__}
    for piece in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1:]:
        exec(piece, given)
    assert isinstance(given["guarded"], AccessTokenMiddleware)
