"""What of a request's headers reaches a service, and what the gateway says of the client itself."""

from __future__ import annotations

import pytest

from deploy.gateway.docs import document
from shared.observability import correlation
from tests.gateway.gateway import Gateway, raw
from tests.servers.upstream import Answer

FORGED = [
    "X-Auth-Subject", "x-auth-admin", "X-AUTH-SESSION", "X-Auth-Verified", "X-Auth-Groups",
    "X-Auth-Acr", "x-auth-amr", "X-AUTH-TIME", "X-Auth-Anything",
    "X_Auth_Subject", "X-Auth_Subject",
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-User", "X-Real-IP",
    "X-Client-IP", "True-Client-IP", "X-Original-URL", "X-HTTP-Method-Override", "Cookie", "Proxy-Authorization",
]  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_header_never_reaches_a_service(gateway: Gateway, name: str) -> None:
    gateway.http.get("/api/v1/auth/forward", headers=[(name, "forged"), (name, "forged again")])
    gateway.http.get("/api/v1/users/me", headers={name: "forged"})
    if name != "Cookie":  # who somebody is, the pages know by it, and they alone
        gateway.http.get("/login", headers={name: "forged"})
    assert gateway.users.seen
    for seen in [
        *gateway.auth.seen,
        *gateway.users.seen,
        *gateway.portal.seen,
    ]:  # some headers nginx does not even accept twice
        assert "forged" not in str(seen.headers)


def test_a_service_is_told_the_client_s_address_and_nothing_of_what_the_client_says(gateway: Gateway) -> None:
    gateway.http.get("/api/v1/auth/x", headers={"X-Forwarded-For": "192.0.2.1", "Host": "login.test:8201"})
    seen = gateway.auth.last()
    assert seen.header("x-forwarded-for") == ["127.0.0.1"]
    assert seen.header("x-forwarded-proto") == ["http"]
    assert seen.header("host") == ["login.test"]


def test_a_client_can_not_have_the_gateway_s_own_headers_taken_for_hop_by_hop_ones(gateway: Gateway) -> None:
    gateway.http.get("/api/v1/auth/x", headers={"Connection": "X-Forwarded-For, X-Request-ID, Authorization"})
    assert gateway.auth.last().header("x-forwarded-for") == ["127.0.0.1"]
    assert gateway.auth.last().header("connection") == ["close"]


def headers_in_the_document() -> set[str]:
    paths = document()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    found = [each for operation in operations for each in operation.get("parameters", []) if each["in"] == "header"]
    return {each["name"].lower() for each in found}


def test_the_document_names_headers_at_all() -> None:
    assert "if-match" in headers_in_the_document()


@pytest.mark.parametrize(
    "name",
    sorted(headers_in_the_document() | {"authorization", "content-type", "accept", "user-agent", "if-none-match"}),
)
def test_every_header_that_a_service_reads_arrives(gateway: Gateway, name: str) -> None:
    gateway.http.get("/api/v1/users/", headers={name: 'W/"said by the client"'})
    assert gateway.users.last().header(name) == ['W/"said by the client"']


def test_the_portal_gets_the_headers_that_it_reads_and_no_token(gateway: Gateway) -> None:
    read = {
        "cookie": "__Host-login2fa=a; b=c", "origin": "null", "sec-fetch-site": "same-origin",
        "referer": "https://login.example.com/account", "accept-language": "de;q=0.9", "user-agent": "a browser",
        "content-type": "application/x-www-form-urlencoded", "traceparent": "00-a", "tracestate": "a=1",
        "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http",
    }  # fmt: skip
    claimed = {"Authorization": "Bearer a", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    gateway.http.post("/login", headers=read | claimed, content=b"username=dave")
    seen = gateway.portal.last()
    assert {name: seen.header(name) for name in read} == {name: [value] for name, value in read.items()}
    assert (seen.header("authorization"), seen.body) == ([], b"username=dave")


def test_the_client_s_own_trace_context_arrives(gateway: Gateway) -> None:
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=1,b=2"}
    gateway.http.get("/api/v1/auth/x", headers=trace)
    assert {name: gateway.auth.last().header(name) for name in trace} == {k: [v] for k, v in trace.items()}


OFFERED = ["a", "A1._:-z", "0" * 64, "0" * 65, "-a", "a b", "a,b", "ä", "", 'a"b', "a\\", "a/b"]


@pytest.mark.parametrize("offered", OFFERED)
def test_a_request_id_is_kept_exactly_when_the_services_would_keep_it(gateway: Gateway, offered: str) -> None:
    answer = gateway.http.get("/api/v1/auth/x", headers=[(b"X-Request-ID", offered.encode())])
    (kept,) = gateway.auth.last().header("x-request-id")
    assert (kept == offered) == (correlation.accept(offered) == offered)
    assert correlation.accept(kept) == kept
    assert answer.headers.get_list("x-request-id") == [kept]


def test_a_request_without_an_id_gets_one_that_the_service_and_the_client_are_told(gateway: Gateway) -> None:
    gateway.auth.answers = lambda seen: Answer(headers={"X-Request-ID": seen.header("x-request-id")[0]})
    answers = [gateway.http.get("/api/v1/auth/x") for _ in range(2)]
    told = [answer.headers.get_list("x-request-id") for answer in answers]
    assert told == [seen.header("x-request-id") for seen in gateway.auth.seen]
    assert told[0] != told[1]


def test_a_failure_has_the_id_too_so_that_it_can_be_looked_for(gateway: Gateway) -> None:
    gateway.auth.answers = lambda _seen: Answer(500)
    for path in ("/api/v1/auth/x", "/nowhere"):
        answer = gateway.http.get(path, headers={"X-Request-ID": "wanted"})
        assert (answer.is_error, answer.headers.get_list("x-request-id")) == (True, ["wanted"])


def test_a_request_with_two_authorization_headers_is_refused(gateway: Gateway) -> None:
    lines = ["GET /api/v1/auth/x HTTP/1.1", "Host: a", "Connection: close", "Authorization: Bearer a"]
    answer = raw(gateway, "\r\n".join([*lines, "authorization: Bearer b", "", ""]).encode())
    assert answer.startswith("HTTP/1.1 400 ")
    assert gateway.auth.seen == []
