"""S42: a limit is that of the route that answers and of the client that asks, however either is written."""

from __future__ import annotations

import httpx
import pytest
from fastapi import APIRouter, Request

from shared.web.application import Service
from shared.web.rate_limit import Buckets, RateLimiter
from tests.asking import client_of, problem, small_app

LIMITED = "/api/token"
BURST = 3


def app(trusted_proxies: str = "", *, burst: int = BURST) -> Service:
    """Its routes tell who asks; one of them is limited, and never refills."""
    limiter = RateLimiter(frozenset({LIMITED, "/api/things/{thing}/try"}), Buckets(1e-9, burst))
    app = small_app(limiter=limiter, trusted_proxies=trusted_proxies)
    router = APIRouter()

    @router.post(LIMITED)
    @router.post("/api/things/{thing}/try")
    @router.post("/api/open")
    async def who(request: Request) -> str:
        return request.client.host if request.client else "nobody"

    app.include_router(router)
    return app


async def told(trusted: str, peer: str, *forwarded: str) -> httpx.Response:
    async with client_of(app(trusted), peer) as http:
        return await http.post("/api/open", headers=[(b"x-forwarded-for", value.encode()) for value in forwarded])


# --- the client

MAPPED = "::ffff:127.0.0.1"


@pytest.mark.parametrize("peer", ["127.0.0.1", MAPPED, "::FFFF:7f00:1"])
@pytest.mark.parametrize(
    "trusted", ["127.0.0.1", MAPPED, "127.0.0.0/8", "::ffff:127.0.0.0/104", "10.0.0.0/8,127.0.0.1"]
)
async def test_a_proxy_is_trusted_in_whichever_notation_it_comes(trusted: str, peer: str) -> None:
    assert (await told(trusted, peer, "192.0.2.1")).json() == "192.0.2.1"
    assert (await told("192.0.2.9", peer, "192.0.2.1")).json() == "127.0.0.1"


@pytest.mark.parametrize(
    ("given", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:5678", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("garbage, 192.0.2.1", "192.0.2.1"),
        ("198.51.100.7, 192.0.2.1, 127.0.0.1", "192.0.2.1"),
        ("192.0.2.1, 127.0.0.1, ::ffff:127.0.0.1", "192.0.2.1"),
        (", 192.0.2.1,,", "192.0.2.1"),
        ("127.0.0.9", "127.0.0.9"),
    ],
)
async def test_a_client_has_one_notation(given: str, client: str) -> None:
    for trusted in ("127.0.0.1", "*") if "127.0.0.1" not in given else ("127.0.0.1",):
        assert (await told(trusted, MAPPED, given)).json() == client


@pytest.mark.parametrize("given", [[], [""], [", ,"]])
async def test_whom_a_proxy_does_not_name_is_nobody(given: list[str]) -> None:
    assert (await told("127.0.0.1", MAPPED, *given)).json() == "nobody"
    assert (await told("*", MAPPED, *given)).json() == "127.0.0.1"


async def test_the_last_of_many_headers_counts() -> None:
    assert (await told("127.0.0.1", "127.0.0.1", "192.0.2.1", "192.0.2.2", "127.0.0.1")).json() == "192.0.2.2"


@pytest.mark.parametrize(
    "text",
    [
        "garbage", "unknown", "_hidden", "%", "[::1", "::1]", "[::1]x", "[::1]:", "[::1]:99999", "[]", "1.2.3.4.5",
        "1.2.3",
        "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:-1", "1.2.3.4:999999", "192.0.2.1/32", "example.org", "x" * 1000,
        "\u0661.2.3.4", "192.0.2.1 192.0.2.2", "for=192.0.2.1",
    ],
)  # fmt: skip
async def test_what_a_trusted_proxy_gives_and_is_no_address_is_refused(text: str) -> None:
    problem(await told("127.0.0.1", "127.0.0.1", text), 400, "bad_request")
    problem(await told("127.0.0.1", "127.0.0.1", "192.0.2.1", text), 400, "bad_request")
    assert (await told("", "127.0.0.1", text)).json() == "127.0.0.1"


async def test_one_client_has_one_limit_in_all_its_notations() -> None:
    notations = ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1:1000", "[::ffff:c000:201]:2000"]
    async with client_of(app("127.0.0.1", burst=len(notations)), MAPPED) as http:
        asked = [await http.post(LIMITED, headers={"X-Forwarded-For": each}) for each in (*notations, "192.0.2.1")]
        other = await http.post(LIMITED, headers={"X-Forwarded-For": "192.0.2.2"})

    assert [each.status_code for each in asked] == [200] * len(notations) + [429]
    assert other.status_code == 200


# --- the route


@pytest.mark.parametrize(
    "path",
    [
        LIMITED,
        f"{LIMITED}/",
        "/api/%74oken",
        "/api/things/a/try/",
        "/api/things/a/try",
        "/api/things/%0b/try",
        "/api/token%0a",
    ],
)
async def test_whatever_path_the_route_answers_to_it_is_limited(path: str) -> None:
    async with client_of(app()) as http:
        statuses = {(await http.post(path)).status_code for _ in range(BURST + 1)}

    assert statuses in ({200, 429}, {400})


CONTROL = ["%00", "%0a", "%0d", "%0d%0a", "%09", "%1b", "%7f", "%c2%85", "%e2%80%a8", "%e2%80%8b"]


@pytest.mark.parametrize("character", CONTROL)
async def test_a_control_character_in_a_path_is_refused_whether_a_route_is_there_or_not(character: str) -> None:
    async with client_of(app()) as http:
        for path in (LIMITED, "/api/open", "/api/things/a/try", "/nowhere", "/"):
            for written in (path + character, character + path, path.replace("/", f"/{character}", 1)):
                problem(await http.post("/" + written.removeprefix("/")), 400, "bad_request")


async def test_other_characters_are_looked_up() -> None:
    async with client_of(app()) as http:
        for path in ("/api/open%20", "/%c3%a9", "/%ff", "/api/token//", "//api/token", "/API/token"):
            answer = await http.post(path)
            assert answer.status_code == 404, path
