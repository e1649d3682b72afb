"""S35: where a request ends is decided once, by its framing: nothing in it is taken for another request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import product

import pytest

from deploy.standalone.front import Front
from tests.asking import small_app
from tests.builders import PASSWORD
from tests.composed import AUTH, USERS, AuthApp, UsersApp
from tests.raw_http import LAST, SMUGGLED, UPGRADES, Answer, Connection, Watched, connected, request, watched
from tests.security.doors import ACCESS
from tests.security.somebody import LoggedIn, password_accepted, register

FRAMINGS = ("content-length", "chunked", "none")
DELIVERIES = {
    "one packet": list(UPGRADES),
    "pipelined": list(UPGRADES),
    "byte by byte": ["h2c"],
}


@dataclass(frozen=True, slots=True)
class Route:
    """`status`: of a request that is as it should be; one without the body that it needs is 422."""

    line: str
    status: int
    body: bytes = SMUGGLED
    headers: tuple[str, ...] = ()
    needs_body: bool = False

    def asked(self, upgrade: str, framing: str) -> tuple[bytes, int]:
        """The request, and the status that it has to have."""
        framed = {
            "content-length": ([f"Content-Length: {len(self.body)}"], self.body),
            "chunked": (["Transfer-Encoding: chunked"], b"".join(chunks(self.body))),
            "none": ([], b""),
        }
        headers, body = framed[framing]
        asked = request(self.line, ["X-Request-ID: asked", *UPGRADES[upgrade], *self.headers, *headers], body)
        return asked, 422 if self.needs_body and framing == "none" else self.status


def chunks(body: bytes) -> Iterator[bytes]:
    for piece in (body[:7], body[7:]):
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\nX-Trailer: x\r\n\r\n"


@pytest.fixture
async def server(auth_app: AuthApp, users_app: UsersApp) -> AsyncIterator[Watched]:
    """Both services at one address."""
    async with watched(Front(auth=auth_app.app, users=users_app.app, portal=small_app())) as server:
        yield server


@pytest.fixture
async def routes(auth_app: AuthApp, users_app: UsersApp, person: LoggedIn) -> dict[str, Route]:
    # Another account than the token's: whoever logs in often enough ends the oldest sessions.
    account = await register(users_app)
    await password_accepted(auth_app, account["username"])
    authorized = (f"Authorization: Bearer {person.tokens[ACCESS]}",)
    typed = ("Content-Type: application/json",)
    form = ("Content-Type: application/x-www-form-urlencoded",)
    credentials = json.dumps({"username": account["username"], "password": PASSWORD}).encode()
    fields = f"username={account['username']}&password={PASSWORD.replace(' ', '+')}".encode()
    return {
        "login, JSON": Route(f"POST {AUTH}/token", 200, credentials, typed, needs_body=True),
        "login, form": Route(f"POST {AUTH}/token", 200, fields, form, needs_body=True),
        "login, smuggling": Route(f"POST {AUTH}/token", 422, SMUGGLED, typed),
        "refresh": Route(f"POST {AUTH}/refresh-token", 401, b'{"refresh_token":"x"}', typed, needs_body=True),
        "refresh, smuggling": Route(f"POST {AUTH}/refresh-token", 422, SMUGGLED, typed),
        "verify-token": Route(f"POST {AUTH}/verify-token", 200, headers=authorized),
        "forward": Route(f"GET {AUTH}/forward", 204, headers=authorized),
        "forward, a gateway's": Route(f"POST {AUTH}/forward/envoy/any/path", 200, headers=authorized),
        "sessions": Route(f"GET {AUTH}/sessions", 200, headers=authorized),
        "me": Route(f"GET {USERS}/me", 200, headers=authorized),
        "patch": Route(f"PATCH {USERS}/", 200, b'{"name":"Dave"}', (*authorized, *typed), needs_body=True),
        "registration, smuggling": Route(f"POST {USERS}/registration", 422, SMUGGLED, typed),
        "jwks": Route("GET /.well-known/jwks.json", 200),
        "unknown path": Route("POST /nowhere", 404),
        "unknown method": Route(f"PURGE {AUTH}/token", 405),
    }  # fmt: skip


async def deliver(connection: Connection, asked: bytes, delivery: str) -> list[Answer]:
    if delivery == "pipelined":
        await connection.send(request("GET /first", ["X-Request-ID: first"]) + asked + LAST)
        return await connection.answers()
    if delivery == "byte by byte":
        await connection.send_byte_by_byte(asked)
    else:
        await connection.send(asked)
    first = await connection.answer()
    await connection.send(LAST)
    return [first, *await connection.answers()]


def wanted(status: int, delivery: str) -> list[tuple[str, int]]:
    answers = [("asked", status), ("last", 404)]
    return [("first", 404), *answers] if delivery == "pipelined" else answers


@pytest.mark.parametrize("delivery", DELIVERIES)
async def test_an_upgrade_is_ignored_and_the_body_is_read_by_its_framing(
    server: Watched, routes: dict[str, Route], delivery: str
) -> None:
    wrong = {}
    for upgrade, framing, (name, route) in product(DELIVERIES[delivery], FRAMINGS, routes.items()):
        asked, status = route.asked(upgrade, framing)
        server.seen.clear()
        async with connected(server.port) as connection:
            answers = [(each.request_id, each.status) for each in await deliver(connection, asked, delivery)]
        if (answers, len(server.seen), "/smuggled" in server.seen) != (wanted(status, delivery), len(answers), False):
            wrong[upgrade, framing, name] = answers, list(server.seen)
    assert wrong == {}


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
async def test_wherever_a_request_is_cut_in_two_it_is_the_same_one(
    server: Watched, routes: dict[str, Route], framing: str
) -> None:
    asked, status = routes["refresh"].asked("h2c", framing)
    for cut in range(1, len(asked)):
        async with connected(server.port) as connection:
            await connection.send(asked[:cut])
            await connection.send_byte_by_byte(asked[cut : cut + 1])
            await connection.send(asked[cut + 1 :] + LAST)
            answers = [(each.request_id, each.status) for each in await connection.answers()]
        assert answers == wanted(status, "one packet"), asked[:cut]


async def test_an_upgrade_on_the_last_request_of_a_connection_is_ignored_too(
    server: Watched, routes: dict[str, Route]
) -> None:
    route = routes["login, JSON"]
    for version in ("1.1", "1.0"):
        asked, status = route.asked("TLS/1.2", "content-length")
        asked = asked.replace(b"Connection: Upgrade", b"Connection: close, Upgrade").replace(
            b"HTTP/1.1\r\n", f"HTTP/{version}\r\n".encode(), 1
        )
        async with connected(server.port) as connection:
            await connection.send(asked)
            answers = [each.status for each in await connection.answers()]
        assert answers == [status], version


async def test_a_client_that_waits_for_100_gets_it_whatever_it_would_upgrade_to(
    server: Watched, routes: dict[str, Route]
) -> None:
    asked, status = routes["login, JSON"].asked("h2c", "content-length")
    head, _, body = asked.partition(b"\r\n\r\n")

    async with connected(server.port) as connection:
        await connection.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert (await connection.answer()).status == 100
        await connection.send(body + LAST)
        answers = [each.status for each in await connection.answers()]

    assert answers == [status, 404]
