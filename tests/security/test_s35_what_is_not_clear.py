"""S35: a request whose end is not clear is refused once, in its turn, and nothing more is read of that connection."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from shared.web.process import management
from tests.asking import small_app
from tests.raw_http import LAST, SMUGGLED, UPGRADES, Watched, connected, request, watched


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Watched]:
    async with watched(small_app()) as server:
        yield server


@pytest.fixture
def server(running: Watched) -> Watched:
    """An application that knows no route and reads every body; it has seen nothing yet."""
    running.seen.clear()
    running.headers.clear()
    return running


BODY = b"0\r\n\r\n" + SMUGGLED
UNCLEAR: dict[str, bytes] = {
    "a tunnel": b"CONNECT login.test:443 HTTP/1.1\r\nHost: login.test:443\r\n\r\n" + SMUGGLED,
    "a tunnel to a path": request("CONNECT /api/v1/auth/token", ["Content-Length: 3"], b"abc"),
    "both framings": request("POST /x", ["Content-Length: 5", "Transfer-Encoding: chunked"], BODY),
    "both framings, reversed": request("POST /x", ["Transfer-Encoding: chunked", "Content-Length: 5"], BODY),
    "two lengths": request("POST /x", ["Content-Length: 5", "Content-Length: 6"], BODY),
    "one length twice": request("POST /x", ["Content-Length: 5", "Content-Length: 5"], BODY),
    "a list of lengths": request("POST /x", ["Content-Length: 5, 5"], BODY),
    "a length with a sign": request("POST /x", ["Content-Length: +5"], BODY),
    "a length that is none": request("POST /x", ["Content-Length: 0x5"], BODY),
    "an empty length": request("POST /x", ["Content-Length:"], BODY),
    "another coding": request("POST /x", ["Transfer-Encoding: gzip"], BODY),
    "another coding before": request("POST /x", ["Transfer-Encoding: gzip, chunked"], BODY),
    "another coding in a header before": request(
        "POST /x", ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"], BODY
    ),
    "chunked twice": request("POST /x", ["Transfer-Encoding: chunked, chunked"], BODY),
    "chunked with a parameter": request("POST /x", ["Transfer-Encoding: chunked;q=1"], BODY),
    "an empty coding": request("POST /x", ["Transfer-Encoding:"], BODY),
    "a blank before the colon": request("POST /x", ["Transfer-Encoding : chunked"], BODY),
    "a folded header": request("POST /x", ["Transfer-Encoding:", " chunked"], BODY),
    "a folded header of another name": request("POST /x", ["X-A: b", " c", "Content-Length: 5"], BODY),
    "a bare line feed": b"POST /x HTTP/1.1\nHost: login.test\nContent-Length: 5\n\n" + BODY,
    "a bare line feed in a head": request("POST /x", ["X-A: b\nContent-Length: 5"], BODY),
    "a bare carriage return": request("POST /x", ["X-A: b\rContent-Length: 5"], BODY),
    "chunked in HTTP/1.0": b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
    "HTTP/0.9": b"GET /x\r\n\r\n" + SMUGGLED,
    "HTTP/2.0": b"GET /x HTTP/2.0\r\nHost: login.test\r\n\r\n" + SMUGGLED,
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9,
}  # fmt: skip
MALFORMED_BODIES: dict[str, bytes] = {
    "a size that is none": b"x\r\n" + BODY,
    "a negative size": b"-5\r\nabcde\r\n" + BODY,
    "a size with a blank": b"5 \r\nabcde\r\n" + BODY,
    "a size that ends in a line feed": b"5\nabcde\r\n" + BODY,
    "an extension with a line feed": b"5;a\nabcde\r\n" + BODY,
    "a chunk that is longer than its size": b"5\r\nabcdefg\r\n" + BODY,
    "a length among the trailers": b"0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
}


async def statuses(port: int, *pieces: bytes) -> list[tuple[str, int]]:
    async with connected(port) as connection:
        for piece in pieces:
            await connection.send(piece)
        return [(each.request_id, each.status) for each in await connection.answers()]


@pytest.mark.parametrize("upgrade", ["none", "h2c"])
@pytest.mark.parametrize("what", list(UNCLEAR))
async def test_what_is_not_clear_is_refused_once_and_ends_the_connection(
    server: Watched, what: str, upgrade: str
) -> None:
    asked = UNCLEAR[what].replace(b"\r\n\r\n", "\r\n".join(["", *UPGRADES[upgrade], "", ""]).encode(), 1)

    assert await statuses(server.port, asked, SMUGGLED) == [("", 400)]
    assert server.seen == []


@pytest.mark.parametrize("what", list(UNCLEAR))
async def test_what_came_before_is_answered_first(server: Watched, what: str) -> None:
    before = [request("GET /first", [f"X-Request-ID: {number}"]) for number in range(3)]

    answers = await statuses(server.port, b"".join(before) + UNCLEAR[what] + LAST)

    assert answers == [("0", 404), ("1", 404), ("2", 404), ("", 400)]
    assert server.seen == ["/first"] * 3


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("what", list(MALFORMED_BODIES))
async def test_a_body_that_breaks_off_is_refused_in_the_place_of_its_request(
    server: Watched, what: str, before: int
) -> None:
    firsts = b"".join(request("GET /first", [f"X-Request-ID: {number}"]) for number in range(before))
    head = request("POST /asked", ["Transfer-Encoding: chunked"])

    answers = await statuses(server.port, firsts + head + MALFORMED_BODIES[what] + LAST)

    assert answers == [*((str(number), 404) for number in range(before)), ("", 400)]
    assert set(server.seen) <= {"/first", "/asked"}


async def test_a_request_that_has_its_answer_gets_no_second_one(server: Watched) -> None:
    """The answer does not wait for a body that is too large; the rest of it is malformed."""
    head = request("POST /asked", ["Transfer-Encoding: chunked", "X-Request-ID: asked"])

    async with connected(server.port) as connection:
        await connection.send(head + b"1fff\r\n" + b"x" * 0x1FFF)
        first = await connection.answer()
        await connection.send(b"no line break" + SMUGGLED)
        assert (first.request_id, first.status) == ("asked", 413)
        assert await connection.answers() == []


async def test_a_refusal_is_a_problem_document(server: Watched) -> None:
    async with connected(server.port) as connection:
        await connection.send(UNCLEAR["both framings"])
        (answer,) = await connection.answers()

    assert json.loads(answer.body)["code"] == "bad_request"


async def test_the_management_port_is_served_alike() -> None:
    asked = request("GET /livez", [*UPGRADES["websocket"], f"Content-Length: {len(SMUGGLED)}"], SMUGGLED)

    async with watched(management({})) as server:
        assert [status for _, status in await statuses(server.port, asked + LAST)] == [200, 404]
        assert [status for _, status in await statuses(server.port, UNCLEAR["a tunnel"] + LAST)] == [400]


async def test_a_trailer_is_no_header(server: Watched) -> None:
    """One that a proxy passes on would be believed like a header that the proxy itself has set."""
    head = request("POST /asked", ["Transfer-Encoding: chunked", "X-Request-ID: asked"])
    trailers = b"X-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer x\r\n"

    assert await statuses(server.port, head + b"1\r\nx\r\n0\r\n" + trailers + b"\r\n" + LAST) == [
        ("asked", 404), ("last", 404),
    ]  # fmt: skip

    names = {name for headers in server.headers for name, _ in headers}
    assert names.isdisjoint({b"x-forwarded-for", b"authorization"})


async def test_many_requests_with_an_upgrade_in_one_packet_have_each_their_answer(server: Watched) -> None:
    asked = [request(f"POST /{number}", [f"X-Request-ID: {number}", *UPGRADES["h2c"]]) for number in range(300)]

    async with connected(server.port) as connection:
        await connection.send(b"".join(asked) + LAST)
        answers = [each.request_id for each in await connection.answers()]

    assert answers == [*map(str, range(300)), "last"]
