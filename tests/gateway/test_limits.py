"""RateLimiter, oversized requests and slow clients end at the gateway."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from tests.asking import problem
from tests.gateway.conftest import Start
from tests.gateway.gateway import GATEWAY, Gateway, connected, raw, running_gateway
from tests.polling import wait_until
from tests.servers.upstream import Answer, Seen

# So slow that nothing is forgiven within a test; the burst is the one that is shipped.
NO_REFILL = {"rate=50r/s": "rate=1r/m"}
AT_ONCE = 200
LIMITED = [
    "/api/v1/auth/token",
    "/api/v1/auth/verify-otp",
    "/api/v1/auth/verify-passkey",
    "/api/v1/auth/resend-otp",
    "/api/v1/auth/challenge/passkey",
    "/api/v1/auth/passkey",
    "/api/v1/auth/passkey/options",
    "/api/v1/auth/step-up",
    "/api/v1/auth/refresh-token",
    "/api/v1/users/registration",
    "/login",
    "/login/verify",
    "/account/password",
    "/api/v1/users/",
    "/api/v1/users/01a22990-da8e-7766-b1df-c2705dec2b25",
]


@pytest.fixture(scope="module")
def spending(tmp_path_factory: pytest.TempPathFactory, static: Path) -> Iterator[Gateway]:
    """All that one address may ask for at once has been asked for, over all the limited endpoints together."""
    with running_gateway(tmp_path_factory.mktemp("spent"), static, changes=NO_REFILL) as gateway:
        for number in range(AT_ONCE):
            assert gateway.http.post(LIMITED[number % len(LIMITED)]).status_code == 200, number
        yield gateway


@pytest.fixture
def spent(spending: Gateway) -> Gateway:
    spending.auth.forget()
    spending.users.forget()
    spending.portal.forget()
    return spending


def test_the_201st_request_of_a_burst_is_told_when_to_come_back(spent: Gateway) -> None:
    for path in LIMITED:
        answer = spent.http.post(path)
        problem(answer, 429, "too_many_requests")
        assert answer.headers["retry-after"] == "1"
    assert spent.auth.seen == spent.users.seen == spent.portal.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/auth/%74oken",
        "/api/v1/auth/x/../token",
        "/api/v1/auth/token?a=1",
        "/api/v1/auth/token/",
        "/%6cogin",
        "//login",
        "/api/v1/users",
        "/api/v1/users/registration/",
        "/api/v1/users/01a22990-da8e-7766-b1df-c2705dec2b25/",
        "/api/v1/auth//token",
        "/api/v1/auth/./token",
    ],
)
def test_the_limit_can_not_be_evaded_by_writing_the_path_otherwise(spent: Gateway, path: str) -> None:
    answer = raw(spent, f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith("HTTP/1.1 429 ")


@pytest.mark.parametrize("path", ["/api/v1/auth/token%0a", "/api/v1/auth/%0dtoken", "/docs%7f", "/%0a", "/x%00"])
def test_a_control_character_in_a_path_reaches_no_service(gateway: Gateway, path: str) -> None:
    answer = raw(gateway, f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith("HTTP/1.1 400 ")
    assert gateway.auth.seen == gateway.users.seen == []


@pytest.mark.parametrize("path", ["/api/v1/auth/verify-token", "/api/v1/users/me", "/docs", "/login"])
def test_everything_else_still_answers_an_address_that_has_spent_its_burst(spent: Gateway, path: str) -> None:
    assert spent.http.get(path).status_code == 200


def test_another_address_has_a_burst_of_its_own(spent: Gateway) -> None:
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=spent.nginx.url, transport=transport) as other:
        assert other.post(LIMITED[0]).status_code == 200


def test_a_claimed_address_does_not_give_another_burst(spent: Gateway) -> None:
    claims = {"X-Forwarded-For": "192.0.2.7", "X-Real-IP": "192.0.2.7", "Forwarded": "for=192.0.2.7"}
    assert spent.http.post(LIMITED[0], headers=claims).status_code == 429


def test_who_was_refused_and_waits_is_let_in_again(start: Start) -> None:
    gateway = start({"rate=50r/s": "rate=2r/s", " burst=199 nodelay": ""})
    wait_until(lambda: gateway.http.post(LIMITED[0]).status_code == 429)
    wait_until(lambda: gateway.http.post(LIMITED[0]).status_code == 200)


# A /64 is one client, however it is written; what differs before that is another.
ONE_CLIENT = [
    ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::1"),
    ("2001:db8:1:0:2:3:4:5", "2001:db8:1::1"),
    ("2001:db8::1:2:3:4", "2001:db8:0:0:5::"),
    ("2001:db9::1", "2001:db9::8:7:6:5"),
    ("2003::1", "2003::1:0:0:0"),
    ("2001::4:5:6:7:8", "2001::4:1:1:1:1"),
    ("::3:4:5:6:7:8", "::3:4:1:1:1:1"),
    ("::1", "::2"),
    ("::ffff:198.51.100.9", "198.51.100.9"),
    ("::ffff:198.51.100.10", "::FFFF:c633:640a"),
]
OTHER_CLIENTS = [
    ("2001:dba:1:2::1", "2001:dba:1:3::1"),
    ("2001:dbb::1", "2001:dbb:0:1::1"),
    ("2002::4:5:6:7:8", "2002::5:5:6:7:8"),
    ("::5:4:5:6:7:8", "::5:5:5:6:7:8"),
    ("198.51.100.1", "198.51.100.2"),
    ("::ffff:198.51.100.3", "::ffff:198.51.100.4"),
]


def test_an_ipv6_client_is_its_network(start: Start) -> None:
    trusted = (GATEWAY / "load-balancer.conf.example").read_text().replace("192.0.2.0/24", "127.0.0.1")
    gateway = start({**NO_REFILL, " burst=199 nodelay": ""}, {"load-balancer.conf": trusted})

    def status(address: str) -> int:
        return gateway.http.post(LIMITED[0], headers={"X-Forwarded-For": address}).status_code

    assert [(status(one), status(two)) for one, two in ONE_CLIENT] == [(200, 429)] * len(ONE_CLIENT)
    assert [(status(one), status(two)) for one, two in OTHER_CLIENTS] == [(200, 200)] * len(OTHER_CLIENTS)


def test_one_address_can_not_have_all_the_connections(start: Start) -> None:
    gateway = start({"clients 512": "clients 2"})
    freed = threading.Event()

    def held(_seen: Seen) -> Answer:
        freed.wait()
        return Answer()

    gateway.users.answers = held
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(gateway.http.get, "/api/v1/users/me") for _ in range(2)]
        try:
            wait_until(lambda: len(gateway.users.seen) == 2)
            answer = gateway.http.get("/api/v1/auth/x")
        finally:
            freed.set()
    problem(answer, 429, "too_many_requests")
    assert answer.headers["retry-after"] == "1"
    assert [each.result().status_code for each in waiting] == [200, 200]


# --- sizes


def test_a_body_of_64_kb_passes(gateway: Gateway) -> None:
    assert gateway.http.post("/api/v1/auth/x", content=b"x" * 65536).status_code == 200
    assert len(gateway.auth.last().body) == 65536


def pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // 1000):
        yield b" " * 1000
    yield b" " * (size % 1000)


def test_a_larger_body_is_refused_whether_it_tells_its_length_or_not(gateway: Gateway) -> None:
    problem(gateway.http.post("/api/v1/auth/x", content=b"x" * 65537), 413, "content_too_large")
    problem(gateway.http.post("/api/v1/auth/x", content=pieces(65537)), 413, "content_too_large")
    assert gateway.auth.seen == []


@pytest.mark.parametrize("size", [10**6, 3 * 10**6])
def test_a_client_that_sends_all_of_it_before_it_reads_can_read_the_refusal(gateway: Gateway, size: int) -> None:
    url = httpx.URL(gateway.nginx.url)
    for headers in ({}, {"Connection": "close"}):
        connection = HTTPConnection(url.host, url.port)
        connection.request("POST", "/api/v1/auth/x", b"x" * size, headers)
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["code"]) == (413, "content_too_large")
        connection.close()


def test_headers_of_8_kb_pass(gateway: Gateway) -> None:
    assert gateway.http.get("/api/v1/auth/x", headers={"Authorization": "x" * 8000}).status_code == 200
    assert len(gateway.auth.last().header("authorization")[0]) == 8000


@pytest.mark.parametrize("headers", [{"Authorization": "x" * 8200}, {f"X-{n}": "x" * 900 for n in range(11)}])
def test_larger_headers_are_refused_whether_it_is_one_or_all_together(
    gateway: Gateway, headers: dict[str, str]
) -> None:
    problem(gateway.http.get("/api/v1/auth/x", headers=headers), 431, "headers_too_large")
    assert gateway.auth.seen == []


def test_an_address_longer_than_8_kb_is_refused(gateway: Gateway) -> None:
    problem(gateway.http.get(f"/api/v1/auth/{'x' * 8200}"), 414, "uri_too_long")


# --- slow clients


def closed_by_the_gateway(gateway: Gateway, beginning: bytes) -> bool:
    with connected(gateway) as connection:
        connection.sendall(beginning)
        try:
            return connection.recv(1) == b""
        except ConnectionResetError:  # as `reset_timedout_connection` asks
            return True


def test_a_client_that_does_not_finish_its_headers_is_cut_off(start: Start) -> None:
    gateway = start({"client_header_timeout 10s": "client_header_timeout 1s"})
    assert closed_by_the_gateway(gateway, b"GET /api/v1/auth/x HTTP/1.1\r\nHost: a\r\n")


def test_a_client_that_does_not_finish_its_body_is_cut_off_and_no_service_waits_for_it(start: Start) -> None:
    gateway = start({"client_body_timeout 10s": "client_body_timeout 1s"})
    assert closed_by_the_gateway(gateway, b"POST /api/v1/auth/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
    assert gateway.auth.seen == []
