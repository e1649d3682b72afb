"""S35: the rest of a request that has its answer already is dropped, to a limit, and nothing more is read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.web import protocol
from shared.web.protocol import LINGER_BYTES
from tests.asking import small_app
from tests.polling import eventually
from tests.raw_http import SMUGGLED, Connection, Watched, connected, request, watched

TOO_LARGE = 100_000
PIECE = b"x" * 16_384


@pytest.fixture
async def server() -> AsyncIterator[Watched]:
    """It reads bodies of 1 kB at most."""
    async with watched(small_app()) as server:
        yield server


def head(framing: str, size: int = TOO_LARGE) -> bytes:
    framings = {"length": f"Content-Length: {size}", "chunks": "Transfer-Encoding: chunked"}
    return request("POST /asked", ["X-Request-ID: asked", framings[framing]])


async def refused(connection: Connection, framing: str, size: int = TOO_LARGE) -> int:
    """Sends the beginning of a body that is too large, and reads the answer; how much of the body is still owed."""
    beginning = b"x" * 2000
    await connection.send(head(framing, size) + (b"%x\r\n" % size if framing == "chunks" else b"") + beginning)
    answer = await connection.answer()
    assert (answer.request_id, answer.status) == ("asked", 413)
    return size - len(beginning)


async def accepted(connection: Connection, piece: bytes) -> bool:
    try:
        await connection.send(piece)
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_what_follows_the_dropped_body_is_no_request(server: Watched, framing: str) -> None:
    end = b"\r\n0\r\n\r\n" if framing == "chunks" else b""
    async with connected(server.port) as connection:
        owed = await refused(connection, framing)
        await connection.send(b"x" * owed + end + SMUGGLED)
        assert await connection.answers() == []

    assert server.seen == ["/asked"]


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_nor_is_what_comes_when_the_body_is_complete(server: Watched, framing: str) -> None:
    end = b"\r\n0\r\nX-A: b\r\n\r\n" if framing == "chunks" else b""
    async with connected(server.port) as connection:
        owed = await refused(connection, framing)
        await connection.send(b"x" * owed + end)
        assert await connection.answers() == []  # it is closed, without a word

    assert server.seen == ["/asked"]


async def test_a_request_in_the_dropped_body_is_part_of_the_body(server: Watched) -> None:
    async with connected(server.port) as connection:
        owed = await refused(connection, "length")
        await connection.send((SMUGGLED * (owed // len(SMUGGLED) + 1))[:owed])
        assert await connection.answers() == []

    assert server.seen == ["/asked"]


@pytest.mark.parametrize("junk", [b"no size\r\n", b"\r\nzz\r\n", b"\r\n" + SMUGGLED])
async def test_a_dropped_body_that_is_malformed_ends_the_connection(server: Watched, junk: bytes) -> None:
    async with connected(server.port) as connection:
        owed = await refused(connection, "chunks")
        await connection.send(b"x" * owed + junk + SMUGGLED)
        assert await connection.answers() == []

    assert server.seen == ["/asked"]


async def test_no_more_than_4_mib_is_dropped(server: Watched) -> None:
    sent = 0
    async with connected(server.port) as connection:
        await refused(connection, "length", 10**9)
        while sent < 100 * LINGER_BYTES and await accepted(connection, PIECE):
            sent += len(PIECE)

    assert LINGER_BYTES <= sent + len(PIECE) < 100 * LINGER_BYTES, "more than the buffers on the way can hold"
    assert server.seen == ["/asked"]


async def test_a_client_that_stops_sending_is_not_waited_for(server: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.05)
    async with connected(server.port) as connection:
        await refused(connection, "length")
        assert await connection.answers() == []


async def test_a_client_that_sends_a_little_at_a_time_gets_no_more_time(
    server: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.05)
    async with connected(server.port) as connection:
        await refused(connection, "length")

        async def ended() -> bool:
            return not await accepted(connection, b"x")

        await eventually(ended)


async def test_requests_before_are_answered_in_their_turn(server: Watched) -> None:
    first = request("GET /first", ["X-Request-ID: first"])
    async with connected(server.port) as connection:
        await connection.send(first + head("length") + b"x" * TOO_LARGE + SMUGGLED)
        answers = [(each.request_id, each.status) for each in await connection.answers()]

    assert answers == [("first", 404), ("asked", 413)]
    assert server.seen == ["/first", "/asked"]
