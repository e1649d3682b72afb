"""A served application, and connections to it on which bytes are sent as no HTTP library would."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.web.process import listen, serving

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"\r\nx-request-id: *([^\r]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """`request_id` says which request it is the answer to, where that one had an `X-Request-ID`."""

    status: int
    request_id: str
    body: bytes


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_byte_by_byte(self, data: bytes) -> None:
        """Each byte is a packet, which a server in this event loop reads before the next one is sent."""
        for byte in data:
            await self.send(bytes([byte]))
            for _ in range(2):
                await asyncio.sleep(0)

    async def answer(self) -> Answer:
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 60)
        length = _LENGTH.search(head)
        body = await asyncio.wait_for(self._reader.readexactly(int(length[1])), 60) if length else b""
        request_id = _REQUEST_ID.search(head)
        return Answer(int(head.split()[1]), request_id[1].decode() if request_id else "", body)

    async def answers(self) -> list[Answer]:
        """All that come until the server closes the connection."""
        answers = []
        while not self._reader.at_eof():
            try:
                answers.append(await self.answer())
            except (asyncio.IncompleteReadError, ConnectionResetError):
                break
        return answers


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


def request(line: str, headers: Iterable[str] = (), body: bytes = b"") -> bytes:
    """`line` is `GET /path`, without the version; the framing of `body` is among the `headers`."""
    return "\r\n".join([f"{line} HTTP/1.1", "Host: login.test", *headers, "", ""]).encode() + body


# Ways to ask for another protocol, or nearly.
UPGRADES: dict[str, list[str]] = {
    "none": [],
    "h2c": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    "websocket": ["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA=="],
    "TLS/1.2": ["Connection: Upgrade", "Upgrade: TLS/1.2"],
    "several": ["Connection: keep-alive, Upgrade", "UPGRADE: h2c, websocket", "upgrade: foo/2"],
    "of the proxy": ["Proxy-Connection: Upgrade", "Upgrade: h2c"],
    "without Upgrade": ["Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    "without Connection": ["Upgrade: h2c"],
    "without a value": ["Connection: Upgrade", "Upgrade:"],
}

SMUGGLED = request("GET /smuggled")
LAST = request("GET /last", ["X-Request-ID: last", "Connection: close"])


@dataclass(frozen=True, slots=True)
class Watched:
    """`seen` has the path of every request that the application was asked, `headers` what came with it."""

    port: int
    seen: list[str] = field(default_factory=list)
    headers: list[list[tuple[bytes, bytes]]] = field(default_factory=list)


@asynccontextmanager
async def watched(app: ASGIApp) -> AsyncIterator[Watched]:
    """Serve `app` as every process of ours is served."""
    bound = listen("127.0.0.1", 0, hint="")
    server = Watched(bound.getsockname()[1])

    async def watching(scope: Scope, receive: Receive, send: Send) -> None:
        server.seen.append(scope["path"])
        server.headers.append(scope["headers"])
        await app(scope, receive, send)

    async with serving(watching, bound, grace=1):
        yield server
