"""A page load that a gateway may not let pass is led to a page of ours, and nothing else is (services.auth.gateway)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from services.auth import app as auth
from services.auth.gateway.browsers import Browsers, Question
from services.auth.gateway.demands import PATH
from services.auth.settings import AuthSettings
from shared.web.application import Service
from tests.asking import client_of, problem

LOGIN = "https://login.example.com/login"
DEEP = "https://app.example.com/orders/7?a=1&rd=https://evil.test&b=%2F%26#x"
PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
SCRIPT = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
NGINX = {"X-Original-URL": DEEP}
CADDY = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "app.example.com",
    "X-Forwarded-Uri": DEEP.removeprefix("https://app.example.com"),
}


@pytest.fixture
def app() -> Service:
    """Auth, asked by a gateway whose client has neither token nor cookie."""
    settings = AuthSettings.model_construct(
        issuer="https://login.example.com", portal_redirects=["https://*.example.com"]
    )
    app = auth.build(settings)
    app.state.auth = SimpleNamespace(settings=settings)
    return app


@pytest.fixture
async def gateway(app: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


def back_to(url: str) -> str:
    """The one `rd` of the address of a login."""
    assert url.startswith(f"{LOGIN}?")
    ((name, target),) = parse_qsl(urlsplit(url).query, strict_parsing=True)
    assert name == "rd"
    return target


@pytest.mark.parametrize("original", [NGINX, CADDY], ids=["nginx", "caddy"])
@pytest.mark.parametrize("modern", [{}, NAVIGATION], ids=["old", "modern"])
async def test_a_page_load_leads_to_the_login_and_back_to_the_very_url(
    gateway: httpx.AsyncClient, original: dict[str, str], modern: dict[str, str]
) -> None:
    for path in ("/browser", "/group/staff/acr/2/age/60/browser", "/browser/"):
        for method in ("GET", "HEAD"):
            answer = await gateway.request(method, PATH + path, headers=PAGE | modern | original)
            assert (answer.status_code, answer.content) == (302, b"")
            assert back_to(answer.headers["location"]) == DEEP
            assert "www-authenticate" not in answer.headers
            assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "other",
    [
        SCRIPT,
        {"Accept": "*/*"},
        {"Accept": "application/json"},
        PAGE | {"Sec-Fetch-Mode": "cors"},
        PAGE | {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        PAGE | NAVIGATION | {"Sec-Fetch-Dest": "iframe"},
        PAGE | {"X-Original-Method": "POST"},
        PAGE | {"X-Forwarded-Method": "POST"},
        PAGE | {"Authorization": "Bearer a b"},
    ],
    ids=str,
)
async def test_whatever_else_is_answered_with_401_as_without_browser(
    gateway: httpx.AsyncClient, other: dict[str, str]
) -> None:
    for path in ("", "/browser"):
        answer = await gateway.get(PATH + path, headers=other | NGINX)
        assert problem(answer, 401, "invalid_token" if "Authorization" in other else "token_missing")
        assert answer.headers["www-authenticate"]
        assert not {"location", "x-auth-location"} & answer.headers.keys()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_what_a_form_sends_is_not_redirected(gateway: httpx.AsyncClient, method: str) -> None:
    for path in ("/browser", "/browser/envoy/orders"):
        problem(await gateway.request(method, PATH + path, headers=PAGE | NGINX), 401, "token_missing")


async def test_envoys_question_names_the_url_by_its_host_and_what_follows(gateway: httpx.AsyncClient) -> None:
    headers = PAGE | NAVIGATION | {"Host": "app.example.com", "X-Original-URL": "https://other.example.com/"}
    for appended in ("", "/", "/orders/7?a=1&rd=x&b=%2F%26", "/browser/envoy/x"):
        answer = await gateway.get(f"{PATH}/acr/2/browser/envoy{appended}", headers=headers)
        assert answer.status_code == 302
        assert back_to(answer.headers["location"]) == f"https://app.example.com{appended or '/'}"

    plain = headers | {"X-Forwarded-Proto": "http"}  # which is not listed
    assert (await gateway.get(f"{PATH}/browser/envoy/x", headers=plain)).headers["location"] == LOGIN


@pytest.mark.parametrize(
    "original",
    [
        {},
        {"X-Original-URL": "https://evil.test/"},
        {"X-Original-URL": "//app.example.com/"},
        CADDY | {"X-Forwarded-Host": "evil.test"},
        CADDY | {"X-Forwarded-Host": "evil.test\\@app.example.com"},
        CADDY | {"X-Forwarded-Proto": "javascript"},
        CADDY | {"X-Forwarded-Uri": "@evil.test/"},
        CADDY | {"X-Forwarded-Uri": ".evil.test/"},
        {"X-Original-URL": f"https://app.example.com/{'x' * 2048}"},
    ],
    ids=str,
)
async def test_a_url_that_is_not_listed_leads_to_the_login_and_no_further(
    gateway: httpx.AsyncClient, original: dict[str, str]
) -> None:
    answer = await gateway.get(f"{PATH}/browser", headers=PAGE | original)

    assert (answer.status_code, answer.headers["location"]) == (302, LOGIN)


async def test_without_browser_the_refusal_stays_and_the_way_to_the_login_stands_in_a_header(
    gateway: httpx.AsyncClient,
) -> None:
    """A redirect is nothing that nginx passes on; a gateway that does not say which URL it asks about wants none."""
    plain = await gateway.get(PATH, headers=PAGE)
    assert problem(plain, 401, "token_missing")
    assert "x-auth-location" not in plain.headers

    for path in ("", "/acr/2"):
        answer = await gateway.get(PATH + path, headers=PAGE | NAVIGATION | NGINX)
        assert (answer.status_code, answer.content) == (401, plain.content)
        assert back_to(answer.headers["x-auth-location"]) == DEEP


async def test_a_gateway_that_is_set_up_wrongly_is_told_so_and_nobody_is_redirected(gateway: httpx.AsyncClient) -> None:
    for path in ("/nowhere/browser", "/browser/acr/2", "/browser?x=1"):
        answer = await gateway.get(PATH + path, headers=PAGE | NGINX)
        assert answer.status_code == 403
        assert not {"location", "x-auth-location"} & answer.headers.keys()


async def test_a_fault_of_ours_is_no_reason_to_send_anybody_to_a_login(
    app: Service, gateway: httpx.AsyncClient
) -> None:
    del app.state.auth

    for path in ("", "/browser"):
        answer = await gateway.get(PATH + path, headers=PAGE | NGINX | {"Cookie": "__Host-login2fa=any"})
        problem(answer, 403, "internal_error")
        assert not {"location", "x-auth-location"} & answer.headers.keys()


@pytest.mark.parametrize(
    ("code", "page"),
    [
        ("insufficient_user_authentication", "/step-up?acr=3&age=60&rd=https%3A%2F%2Fapp.example.com%2F"),
        ("second_factor_required", "/step-up?acr=2&rd=https%3A%2F%2Fapp.example.com%2F"),
        ("not_enough_permissions", "/denied?reason=not_enough_permissions&rd=https%3A%2F%2Fapp.example.com%2F"),
        ("email_not_verified", "/denied?reason=email_not_verified&rd=https%3A%2F%2Fapp.example.com%2F"),
        ("cookie_twice", None),
        ("temporarily_unavailable", None),
        ("too_many_requests", None),
        ("headers_too_large", None),
        ("not_found", None),
        ("internal_error", None),
    ],
)
def test_each_refusal_leads_where_a_person_can_mend_it_and_no_other_leads_anywhere(code: str, page: str | None) -> None:
    headers = [(b"accept", b"text/html"), (b"x-original-url", b"https://app.example.com")]
    question = Question(scope={"type": "http", "method": "GET", "headers": headers}, acr="3", age="60", browser=True)

    found = Browsers("https://login.example.com", ["https://*.example.com"]).page(code, question)

    assert found == (f"https://login.example.com{page}" if page else None)
