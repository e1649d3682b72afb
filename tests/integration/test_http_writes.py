"""Writes of a server to a connection, counted: each is a system call and a packet (shared.web.protocol)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.server import ServerState

from shared.web.protocol import BoundedHttp
from tests.polling import eventually


class _Counting:
    """A transport that notes what it is given."""

    def __init__(self, transport: asyncio.BaseTransport, written: list[bytes]) -> None:
        self._transport = transport
        self._written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._written.append(data)
        cast("asyncio.Transport", self._transport).write(data)


class _Served:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.protocols: list[BoundedHttp] = []
        self.port = 0

    def protocol(self, config: uvicorn.Config, state: ServerState) -> BoundedHttp:
        written, protocols = self.written, self.protocols

        class Counted(BoundedHttp):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                protocols.append(self)
                super().connection_made(cast("asyncio.Transport", _Counting(transport, written)))

        return Counted(config, state, {})


@asynccontextmanager
async def served() -> AsyncIterator[_Served]:
    async def answer(_request: Request) -> Response:
        return Response(b"the body")

    app = Starlette(routes=[Route("/", answer)])
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    config.load()
    made, state = _Served(), ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: made.protocol(config, state), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


async def test_the_head_of_an_answer_and_its_body_are_written_at_once() -> None:
    async with served() as server, httpx.AsyncClient(trust_env=False) as client:
        for _ in range(3):
            assert (await client.get(f"http://127.0.0.1:{server.port}/")).text == "the body"

    assert len(server.protocols) == 1
    assert len(server.written) == 3
    assert all(each.startswith(b"HTTP/1.1 200 OK") and each.endswith(b"the body") for each in server.written)


async def test_an_answer_after_which_the_connection_is_closed_is_sent_whole() -> None:
    async with served() as server, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/", headers={"connection": "close"})

    assert (answer.text, answer.headers["connection"]) == ("the body", "close")
    assert len(server.written) == 1


async def test_requests_that_come_together_are_answered_in_their_order() -> None:
    async with served() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answers = await reader.read()
        writer.close()

    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"200", b"404"]


async def test_nothing_is_written_to_a_client_that_has_hung_up_meanwhile() -> None:
    async with served() as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n")
        await writer.drain()
        await eventually(lambda: server.protocols)
        protocol = server.protocols[0]
        protocol.transport.write(b"too late")
        protocol.transport.abort()
        await eventually(lambda: protocol not in protocol.connections)
        writer.close()

    assert server.written == []
