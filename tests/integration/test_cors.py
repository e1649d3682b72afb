"""Scripts in a browser: those of CORS_ORIGINS may call the API and read what it answers, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.standalone.front import Front
from services.auth import app as auth
from services.users import app as users
from shared.configuration.settings import SettingsInvalid
from tests.asking import client_of, small_app
from tests.composed import AUTH, USERS, Keys, auth_settings, keys, users_settings
from tests.servers.databases import Databases

__all__ = ("keys",)

ORIGINS = ["https://app.example.com", "http://localhost:5173"]
NOWHERE = Databases("none", "postgresql+asyncpg://nobody:secret@127.0.0.1:1/none")


@pytest.fixture
async def browser(keys: Keys, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    named = {"cors_origins": getattr(request, "param", ORIGINS)}
    front = Front(
        auth=auth.build(auth_settings(NOWHERE, keys, **named)),
        users=users.build(users_settings(NOWHERE, keys, "http://127.0.0.1:1/", **named)),
        portal=small_app(),
    )
    async with client_of(front) as client:
        yield client


def preflight(origin: str, method: str = "POST", headers: str = "authorization, content-type") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("path", [f"{AUTH}/token", f"{USERS}/me", f"{USERS}/"])
async def test_a_preflight_of_a_named_origin_is_told_what_it_may_send(
    browser: httpx.AsyncClient, origin: str, path: str
) -> None:
    answer = await browser.options(path, headers=preflight(origin, "PATCH", "authorization, if-match, idempotency-key"))

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert {"authorization", "if-match"} <= set(answer.headers["access-control-allow-headers"].lower().split(", "))
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "path", [f"{USERS}/me", f"{AUTH}/sessions", "/api/v1/users/nowhere", f"{USERS}/?unknown=1", f"{AUTH}/verify-token"]
)
async def test_a_refusal_is_readable_with_what_a_client_goes_by(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path, headers={"Origin": ORIGINS[0]})

    assert answer.status_code >= 400
    assert answer.headers["access-control-allow-origin"] == ORIGINS[0]
    readable = set(answer.headers["access-control-expose-headers"].split(", "))
    assert readable == {"Retry-After", "ETag", "Link", "X-Request-ID", "WWW-Authenticate"}
    assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "https://app.example.com:444",
        "http://app.example.com",
        "null",
        "https://app.example",
    ],
)
async def test_no_other_origin_is_let_in(browser: httpx.AsyncClient, origin: str) -> None:
    for answer in (
        await browser.options(f"{AUTH}/token", headers=preflight(origin)),
        await browser.get(f"{USERS}/me", headers={"Origin": origin}),
    ):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["", "/admin", "/envoy/anything"])
async def test_the_question_of_a_gateway_is_no_browser_s(browser: httpx.AsyncClient, path: str) -> None:
    for answer in (
        await browser.options(f"{AUTH}/forward{path}", headers=preflight(ORIGINS[0])),
        await browser.get(f"{AUTH}/forward{path}", headers={"Origin": ORIGINS[0]}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("browser", [[]], indirect=True)
async def test_without_the_setting_nobody_is_let_in(browser: httpx.AsyncClient) -> None:
    for answer in (
        await browser.options(f"{AUTH}/token", headers=preflight(ORIGINS[0])),
        await browser.get(f"{USERS}/me", headers={"Origin": ORIGINS[0]}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://*.example.com",
        "https://APP.example.com",
        "https://app.example.com:443",
        "https://user@app.example.com",
        "http://app.example.com",
        "ftp://app.example.com",
    ],
)
def test_what_no_browser_sends_as_its_origin_and_what_anybody_could_change_is_refused(keys: Keys, origin: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"^CORS_ORIGINS: "):
        auth_settings(NOWHERE, keys, cors_origins=f"{ORIGINS[0]}, {origin}")
