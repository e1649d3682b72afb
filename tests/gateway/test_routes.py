"""What the gateway leads where, and what it keeps to itself."""

from __future__ import annotations

import re

import httpx
import pytest

from services.portal.pages import ROUTERS
from services.portal.rendering import HEADERS
from tests.asking import problem
from tests.gateway.conftest import Start
from tests.gateway.gateway import Gateway, raw
from tests.servers.upstream import Answer


@pytest.mark.parametrize("path", ["/api/v1/auth/token", "/api/v1/auth/forward", "/.well-known/jwks.json"])
def test_what_belongs_to_auth_goes_to_auth(gateway: Gateway, path: str) -> None:
    assert gateway.http.get(path).status_code == 200
    assert [seen.target for seen in gateway.auth.seen] == [path]
    assert gateway.users.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/users/",
        "/api/v1/users",
        "/api/v1/users?limit=2",
        "/api/v1/users/me",
        "/api/v1/users/?limit=2&email=a%40b",
    ],
)
def test_what_belongs_to_users_goes_to_users(gateway: Gateway, path: str) -> None:
    assert gateway.http.get(path).status_code == 200
    assert [seen.target for seen in gateway.users.seen] == [path]
    assert gateway.auth.seen == []


def test_every_page_goes_to_the_portal(gateway: Gateway) -> None:
    routes = [str(vars(route)["path"]) for router in ROUTERS for route in router.routes]
    pages = {re.sub(r"\{[^}]+\}", "x", route) for route in routes}
    for page in sorted(pages):
        assert gateway.http.get(f"{page}?rd=%2F&a=b").status_code == 200
        assert gateway.portal.last().target == f"{page}?rd=%2F&a=b"
    assert {"/", "/login", "/assets/x", "/account"} <= pages
    assert gateway.auth.seen == gateway.users.seen == []


def test_a_page_has_the_portal_s_headers_and_each_of_them_once(gateway: Gateway) -> None:
    gateway.portal.answers = lambda _seen: Answer(303, headers={**HEADERS, "Location": f"/continue?rd={'x' * 8000}"})
    answer = gateway.http.get("/login")
    assert {name: answer.headers.get_list(name) for name in HEADERS} == {
        name: [value] for name, value in HEADERS.items()
    }
    assert len(answer.headers["location"]) > 8000


def test_without_a_portal_there_are_no_pages_and_all_else_is_as_before(start: Start) -> None:
    gateway = start(PORTAL_UPSTREAM="")
    for path in ("/", "/login", "/assets/style.css"):
        problem(gateway.http.get(path), 404, "not_found")
    assert gateway.http.get("/docs").status_code == gateway.http.get("/api/v1/users/me").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/metrics", "/livez", "/readyz", "/api/v1/metrics", "/api/v1/auth", "/api/v1/usersx/", "/api/v1/usersx",
        "/.well-known", "/problem", "/docs/index.html", "/index.html", "/nginx.conf", "/server.d/tls.conf",
        "/loginx", "/accounts", "/Login",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_nothing_else_can_be_had(gateway: Gateway, method: str, path: str) -> None:
    problem(gateway.http.request(method, path), 404, "not_found")
    assert gateway.auth.seen == gateway.users.seen == gateway.portal.seen == []


@pytest.mark.parametrize("path", ["/docs/assets/", "/docs/assets", "/docs/assets/index.html", "/docs/assets/%2e%2e/x"])
def test_beside_the_documentation_there_is_nothing(gateway: Gateway, path: str) -> None:
    problem(gateway.http.get(path), 404, "not_found")


@pytest.mark.parametrize(
    "way", ["/api/v1/auth/../../../metrics", "/api/v1/users/%2e%2e/%2e%2e/%2e%2e/metrics", "//metrics"]
)
def test_no_way_round_leads_to_the_metrics(gateway: Gateway, way: str) -> None:
    answer = raw(gateway, f"GET {way} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith("HTTP/1.1 404 ")
    assert gateway.auth.seen == gateway.users.seen == gateway.portal.seen == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_method_query_and_body_arrive_unchanged(gateway: Gateway, method: str) -> None:
    body = b"" if method in {"GET", "HEAD"} else bytes(range(256))
    gateway.http.request(method, "/api/v1/users/?b=%2F&a=1", content=body)
    seen = gateway.users.last()
    assert (seen.method, seen.target, seen.body) == (method, "/api/v1/users/?b=%2F&a=1", body)


@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 404, 413, 422, 429, 431, 500, 502, 503, 504])
def test_an_answer_of_a_service_passes_untouched(gateway: Gateway, status: int) -> None:
    headers = {
        "Content-Type": "application/problem+json",
        "WWW-Authenticate": 'Bearer realm="login2fa"',
        "Retry-After": "17",
        "ETag": '"3"',
        "Link": '</api/v1/users/?cursor=x>; rel="next"',
        "Cache-Control": "no-store",
    }
    gateway.auth.answers = lambda _seen: Answer(status, b'{"code":"of_the_service"}', headers)
    answer = gateway.http.post("/api/v1/auth/token")
    assert (answer.status_code, answer.content) == (status, b'{"code":"of_the_service"}')
    assert {name: answer.headers.get_list(name) for name in headers} == {
        name: [value] for name, value in headers.items()
    }


def test_the_gateway_tells_its_own_health_on_a_port_of_its_own(gateway: Gateway) -> None:
    answer = httpx.get(f"{gateway.livez}/livez", trust_env=False)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert httpx.get(f"{gateway.livez}/api/v1/auth/token", trust_env=False).status_code == 404
    assert gateway.auth.seen == []
