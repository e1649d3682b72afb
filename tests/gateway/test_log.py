"""What the gateway writes: a line of JSON per request, and nothing that a log should not hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateway.conftest import Start
from tests.gateway.gateway import Gateway, raw
from tests.polling import wait_until

SECRET = "c4n4ry"


def line(gateway: Gateway, correlation_id: str) -> dict[str, Any]:
    """The one line of this request."""

    def lines() -> list[dict[str, Any]]:
        complete = gateway.nginx.written().splitlines()
        return [each for each in map(json.loads, complete) if each["correlation_id"] == correlation_id]

    (found,) = wait_until(lines)
    return found


def test_a_request_is_one_line_of_json_with_where_it_went(start: Start) -> None:
    gateway = start()
    gateway.http.patch("/api/v1/users/?user_id=1", headers={"X-Request-ID": "one"}, content=b"{}")
    said = line(gateway, "one")
    expected = {
        "service": "gateway",
        "client": "127.0.0.1",
        "method": "PATCH",
        "path": "/api/v1/users/",
        "status": 200,
        "upstream": f"127.0.0.1:{gateway.users.port}",
        "upstream_status": "200",
    }
    assert {name: said[name] for name in expected} == expected
    assert {"timestamp", "seconds", "upstream_seconds", "bytes"} <= set(said)


def test_a_refused_request_is_told_as_it_was_sent(start: Start) -> None:
    gateway = start()
    gateway.http.post("/nowhere", headers={"X-Request-ID": "two"})
    said = line(gateway, "two")
    assert (said["method"], said["path"], said["status"], said["upstream"]) == ("POST", "/nowhere", 404, "")


@pytest.mark.parametrize("living", [True, False])
def test_no_query_body_or_credential_is_in_anything_it_writes(start: Start, living: bool) -> None:
    gateway = start()
    if not living:  # nginx would tell of it with the whole request line
        gateway.names.addresses = {"auth.test": ["127.0.0.9"]}
    headers = {"Authorization": f"Bearer {SECRET}", "X-Request-ID": "three", "Cookie": SECRET, "User-Agent": SECRET}
    gateway.http.post(f"/api/v1/auth/x?email={SECRET}", headers=headers, data={"password": SECRET})
    gateway.http.post(f"/api/v1/auth/x?{SECRET}", headers=headers | {"X-Request-ID": "four"}, content=b"x" * 65537)
    assert line(gateway, "three")["status"] == (200 if living else 502)
    assert line(gateway, "four")["status"] == 413
    assert SECRET not in gateway.nginx.written()


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b'GET /"\\n HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GET /\r\n",
    ],
    ids=["no request", "quotes and backslashes", "without a host", "of HTTP 0.9"],
)
def test_whatever_is_sent_makes_one_line_of_json(start: Start, sent: bytes) -> None:
    gateway = start()
    raw(gateway, sent)
    written = wait_until(lambda: gateway.nginx.written().splitlines())
    # The first connection of all only looked whether it listens, and makes none.
    assert [json.loads(each)["event"] for each in written] == ["request"]
