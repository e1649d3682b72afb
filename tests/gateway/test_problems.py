"""What the gateway itself refuses is the same problem document that a service gives for it."""

from __future__ import annotations

import threading
from http import HTTPStatus

import httpx
import pytest

from shared.web.problems import TooManyRequests, Unavailable
from tests.asking import client_of, problem, small_app
from tests.gateway.conftest import Start
from tests.gateway.gateway import ORIGINS, Gateway, raw
from tests.servers.upstream import Answer, Seen

MALFORMED = {
    b"GARBAGE\r\n\r\n": "bad_request",
    b"GET / HTTP/1.1\r\n\r\n": "bad_request",  # no Host
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": "bad_request",
    b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n": "bad_request",
    b"POST /api/v1/auth/x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n": "bad_request",
    b"POST /api/v1/auth/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n": "not_implemented",
    b"GET / HTTP/9.1\r\nHost: a\r\n\r\n": "http_version_not_supported",
    b"TRACE /docs HTTP/1.1\r\nHost: a\r\n\r\n": "method_not_allowed",
}


def parsed(answer: str) -> httpx.Response:
    head, _, body = answer.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = [line.split(": ", 1) for line in lines]
    return httpx.Response(int(status.split()[1]), headers=[(name, value) for name, value in headers], text=body)


@pytest.mark.parametrize("request_", MALFORMED)
def test_a_malformed_request_is_refused_with_a_problem_document(gateway: Gateway, request_: bytes) -> None:
    answer = parsed(raw(gateway, request_))
    code = MALFORMED[request_]
    problem(answer, HTTPStatus[code.upper()], code)
    assert answer.headers["cache-control"] == "no-store"
    assert gateway.auth.seen == []


def test_a_method_that_is_never_allowed_is_told_which_are(gateway: Gateway) -> None:
    answer = parsed(raw(gateway, b"TRACE /api/v1/auth/token HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert answer.headers["allow"] == "GET, HEAD, POST, PATCH, DELETE"


async def test_it_reads_as_a_service_would_have_it(gateway: Gateway) -> None:
    requests = [
        ("GET", "/nowhere", {}, b""),
        ("POST", "/api/v1/auth/token", {}, b"x" * 65537),
        ("GET", "/api/v1/auth/x", {"authorization": "x" * 9000}, b""),
    ]
    async with client_of(small_app(max_body=65536, max_headers=8192)) as service:
        for method, path, headers, body in requests:
            theirs = await service.request(method, path, headers=headers, content=body)
            ours = gateway.http.request(method, path, headers=headers, content=body)
            assert ours.headers["content-type"] == theirs.headers["content-type"]
            assert without_title(ours) == without_title(theirs)


def without_title(answer: httpx.Response) -> dict[str, object]:
    """Python 3.13 has renamed two titles; nothing depends on them (RFC 9457 section 3.1.3)."""
    return {name: value for name, value in answer.json().items() if name != "title"}


@pytest.mark.parametrize("addresses", [[], ["127.0.0.9"]], ids=["no address", "nothing listens there"])
def test_without_a_living_replica_a_client_is_told_to_come_back(start: Start, addresses: list[str]) -> None:
    gateway = start()
    gateway.names.addresses = dict.fromkeys(gateway.names.addresses, addresses)
    for path in ("/login", "/api/v1/users/me", "/api/v1/auth/token"):
        answer = gateway.http.post(path)
        document = problem(answer, 502, "bad_gateway")
        assert document["detail"] == Unavailable.detail
        assert (answer.headers["retry-after"], answer.headers["cache-control"]) == ("1", "no-store")
        assert ("error" in document) == (path == "/api/v1/auth/token")
    assert (document["error"], document["error_description"]) == ("temporarily_unavailable", Unavailable.detail)


def test_a_service_that_does_not_answer_in_time_is_not_waited_for(start: Start) -> None:
    gateway = start({"proxy_read_timeout 25s": "proxy_read_timeout 1s"})
    answered = threading.Event()

    def silent(_seen: Seen) -> Answer:
        answered.wait()
        return Answer()

    gateway.auth.answers = silent
    answer = gateway.http.post("/api/v1/auth/token")
    answered.set()
    document = problem(answer, 504, "gateway_timeout")
    assert document["error"] == "temporarily_unavailable"
    assert answer.headers["retry-after"] == "1"


def test_a_refused_flood_reads_as_a_service_s_own_throttle(start: Start) -> None:
    gateway = start({"rate=50r/s": "rate=1r/m", " burst=199 nodelay": ""})
    gateway.http.post("/api/v1/auth/token")
    for path in ("/api/v1/auth/token", "/api/v1/auth/resend-otp"):
        document = problem(gateway.http.post(path), TooManyRequests.status, TooManyRequests.code)
        assert document["detail"] == TooManyRequests.detail
        oauth = {"error": "temporarily_unavailable", "error_description": TooManyRequests.detail}
        assert {name: document.get(name) for name in oauth} == (
            oauth if path == "/api/v1/auth/token" else {"error": None, "error_description": None}
        )


def test_a_fault_of_the_gateway_is_a_problem_document_too(start: Start) -> None:
    gateway = start({"location = /docs/ {": "location = /api/v1/auth/token { return 500; } location = /docs/ {"})
    document = problem(gateway.http.get("/api/v1/auth/token"), 500, "internal_error")
    assert document["error"] == "server_error"
    assert document["detail"] == document["error_description"] == "Something went wrong on our side"


@pytest.mark.parametrize(
    ("origin", "reader"),
    [
        *((origin, origin) for origin in ORIGINS),
        ("https://evil.example.com", None),
        ("https://app.example.com.evil.example", None),
        ("https://app.example.co", None),
        ("http://app.example.com", None),
        ("null", None),
        ("", None),
    ],
)
def test_it_is_for_scripts_of_the_origins_that_were_named(gateway: Gateway, origin: str, reader: str | None) -> None:
    headers = gateway.http.get("/nowhere", headers={"Origin": origin}).headers

    assert headers.get("access-control-allow-origin") == reader
    assert headers.get("access-control-expose-headers") == (reader and "Retry-After, X-Request-ID")
    assert headers.get("vary") == (reader and "Origin")


def test_an_answer_of_a_service_says_itself_who_may_read_it(gateway: Gateway) -> None:
    gateway.auth.answers = lambda _seen: Answer(headers={"Access-Control-Allow-Origin": ORIGINS[0]})
    asked = {"Origin": ORIGINS[0], "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}

    answer = gateway.http.options("/api/v1/auth/token", headers=asked)

    assert answer.headers.get_list("access-control-allow-origin") == [ORIGINS[0]]
    assert {name: gateway.auth.last().header(name) for name in asked} == {name: [told] for name, told in asked.items()}
