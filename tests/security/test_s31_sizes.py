"""S31: what is too large, too deep or without an end is refused before it costs anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.web.process import listen, serving
from shared.web.protocol import MAX_UNFINISHED
from tests.builders import registration
from tests.composed import AUTH, USERS, AuthApp, UsersApp, bearer
from tests.security.doors import ACCESS
from tests.security.somebody import LoggedIn

JSON = {"Content-Type": "application/json"}
POSTED = (
    *("", "registration", "registration/confirm", "change-password", "verify-email"),
    *("password-reset", "password-reset/confirm", "invitations"),
)
DEEPEST = 32
KB_64 = 65536


class Bodies:
    """Sends one body to every endpoint that reads one."""

    def __init__(self, auth: AuthApp, users: UsersApp) -> None:
        self._auth = auth
        self._users = users

    async def send(self, body: bytes, media_type: str = "application/json") -> dict[str, int]:
        headers = {"Content-Type": media_type} | self._users.as_(uuid4())
        asked = [
            *(("POST", f"{AUTH}/{name}", self._auth.http) for name in ("token", "verify-otp", "refresh-token")),
            *(("POST", f"{USERS}/{name}", self._users.http) for name in POSTED),
            ("PATCH", f"{USERS}/", self._users.http),
        ]
        return {
            f"{method} {path}": (await http.request(method, path, content=body, headers=headers)).status_code
            for method, path, http in asked
        }


@pytest.fixture
def bodies(auth_app: AuthApp, users_app: UsersApp) -> Bodies:
    return Bodies(auth_app, users_app)


def nested(depth: int) -> Iterator[bytes]:
    """JSON of this depth: lists, objects, both; at its beginning, at its end, and beside a text full of brackets."""
    inner = depth - 1
    yield b'{"a":' + b"[" * inner + b"]" * inner + b"}"
    yield b'{"a":' * depth + b"1" + b"}" * depth
    innermost = b"[]" if inner % 2 else b"1"
    yield b'{"a":1,"b":' + b'[{"c":' * (inner // 2) + innermost + b"}]" * (inner // 2) + b"}"
    yield b'{"t":"\\"[[[]]]\\\\","a":' + b"[" * inner + b"]" * inner + b"}"


async def test_a_body_over_64_kb_is_refused_unparsed(bodies: Bodies) -> None:
    for body in (b"x" * (KB_64 + 1), b"[" * (KB_64 + 1), b'{"a":"' + b"b" * KB_64 + b'"}'):
        assert set((await bodies.send(body)).values()) == {413}


async def test_a_body_of_100_000_keys_is_refused(bodies: Bodies) -> None:
    keys = b"{" + b",".join(b'"%x":1' % number for number in range(10**5)) + b"}"
    form = b"&".join(b"%x=" % number for number in range(10**5))

    assert set((await bodies.send(keys)).values()) == {413}
    assert set((await bodies.send(form, "application/x-www-form-urlencoded")).values()) == {413}


async def test_json_nested_over_32_is_refused(bodies: Bodies) -> None:
    for body in (
        *nested(DEEPEST + 1),
        *nested(1000),
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"[[" * 17 + b'"' + b"]" * 9000,
    ):
        for media_type in ("application/json", "Application/JSON ; charset=utf-8", "application/problem+json"):
            statuses = await bodies.send(body, media_type)
            if media_type.endswith("+json"):
                statuses.pop(f"POST {AUTH}/token")  # which reads that as a form without fields
            assert set(statuses.values()) == {422}, (body[:60], media_type)


async def test_json_of_another_encoding_is_refused(bodies: Bodies) -> None:
    """Its brackets could not be counted."""
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        body = json.dumps(registration() | {"username": "a", "password": "b" * 20}).encode(encoding)
        assert set((await bodies.send(body)).values()) == {422}


async def test_json_nested_32_deep_is_read(users_app: UsersApp) -> None:
    for extra in nested(DEEPEST - 1):
        text = json.dumps(registration(name="[[[{{{]]]"))[:-1] + ', "extra": ' + extra.decode() + "}"
        answer = await users_app.http.post(f"{USERS}/registration", content=text, headers=JSON)
        assert answer.status_code == 201, answer.text


async def test_a_gateway_s_client_may_send_a_body_as_deep_as_its_own_service_allows(
    auth_app: AuthApp, person: LoggedIn
) -> None:
    headers = bearer(person.tokens[ACCESS]) | JSON
    answer = await auth_app.http.post(f"{AUTH}/forward", content=b"[" * 100 + b"]" * 100, headers=headers)
    assert answer.status_code == 204


# --- headers, at a real socket


class Server:
    def __init__(self, port: int) -> None:
        self._port = port
        self.requests = 0

    async def send(self, *pieces: bytes) -> tuple[bytes, int]:
        """What came back, and how much was sent before the server would have no more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        sent = 0
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
            return await asyncio.wait_for(reader.read(), 10), sent
        except (ConnectionError, BrokenPipeError):
            return b"", sent
        finally:
            writer.close()


@pytest.fixture
async def server(users_app: UsersApp) -> AsyncIterator[Server]:
    """The users service on a port of its own, as every process of ours is served."""
    bound = listen("127.0.0.1", 0, hint="")
    server = Server(bound.getsockname()[1])

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        server.requests += 1
        await users_app.app(scope, receive, send)

    app: ASGIApp = counted
    async with serving(app, bound, grace=1):
        yield server


HEAD = b"GET /api/v1/users/me HTTP/1.1\r\nHost: login.test\r\nConnection: close\r\n"


@pytest.mark.parametrize("size", [8192, 20_000, 60_000])
async def test_an_authorization_header_over_8_kb_is_refused_by_the_service_itself(server: Server, size: int) -> None:
    answer, _ = await server.send(HEAD + b"Authorization: Bearer " + b"a" * size + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 431 "), answer
    assert b"headers_too_large" in answer


ENDLESS = {
    "a header": (HEAD + b"Authorization: Bearer ", b"a" * 1000),
    "headers": (HEAD, b"X-A: b\r\n" * 100),
    "a header's name": (HEAD, b"a" * 1000),
    "an address": (b"GET /", b"a" * 1000),
    "a method": (b"", b"\r\n" * 500),
}


@pytest.mark.parametrize("what", list(ENDLESS))
async def test_what_never_becomes_a_request_ends_at_64_kb(server: Server, what: str) -> None:
    begin, more = ENDLESS[what]

    answer, _ = await server.send((begin + more * 100)[: MAX_UNFINISHED + 1])  # to the byte: nothing is left unread

    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert server.requests == 0
    _, sent = await server.send(begin, *[more] * 20_000)
    assert sent < 20_000_000, "it was all taken"


async def test_a_trailer_without_an_end_ends_at_64_kb(server: Server) -> None:
    head = b"POST /api/v1/users/registration HTTP/1.1\r\nHost: login.test\r\nTransfer-Encoding: chunked\r\n\r\n"

    _, sent = await server.send(head + b"2\r\n{}\r\n0\r\n", *[b"X-A: " + b"b" * 1000 + b"\r\n"] * 20_000)

    assert sent < 20_000_000, "it was all taken"


async def test_a_body_in_many_small_pieces_is_no_endless_one(server: Server) -> None:
    head = b"POST /api/v1/users/registration HTTP/1.1\r\nHost: login.test\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = json.dumps(registration() | {"padding": "p" * 30_000}).encode()
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    assert len(pieces) > 2 * MAX_UNFINISHED

    answer, _ = await server.send(head, *(pieces[start : start + 1000] for start in range(0, len(pieces), 1000)))

    assert answer.startswith(b"HTTP/1.1 201 "), answer


async def test_requests_on_one_connection_are_not_added_up(server: Server) -> None:
    request = HEAD.replace(b"Connection: close\r\n", b"") + b"X-A: " + b"b" * 4000 + b"\r\n\r\n"

    answer, _ = await server.send(*[request] * 20, HEAD + b"\r\n")

    assert answer.count(b"HTTP/1.1 401 ") == 21
