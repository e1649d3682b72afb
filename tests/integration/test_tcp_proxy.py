"""The tests' network fails as it is told, and as TCP can fail."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from tests.polling import eventually
from tests.servers.tcp_proxy import PIECE, RESET, TcpProxy

PROJECT = Path(__file__).parents[2]
PATIENCE = 10.0
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Capitals(asyncio.Protocol):
    """Repeats in capitals what it has `heard`."""

    port: int

    def __init__(self) -> None:
        self.heard = b""
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.say(data.upper())

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)

    def say(self, data: bytes) -> None:
        self._transport.write(data)


@pytest.fixture
async def server() -> AsyncIterator[Capitals]:
    server = Capitals()
    async with await asyncio.get_running_loop().create_server(lambda: server, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


@pytest.fixture
async def proxy(server: Capitals) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy("127.0.0.1", server.port)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def client(proxy: TcpProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    await _answered((reader, writer))
    yield reader, writer
    writer.transport.abort()


async def _answered(client: Client) -> None:
    client[1].write(b"hello")
    await _hears(client, b"HELLO")


async def _hears(client: Client, expected: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        assert await client[0].readexactly(len(expected)) == expected


async def _is_reset(client: Client) -> None:
    """And nothing has come before."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionResetError):
            assert await client[0].read(1) == b"nothing"


async def test_what_is_sent_arrives_whole_and_so_does_its_end(server: Capitals, client: Client) -> None:
    reader, writer = client
    much = b"x" * (10 * PIECE)

    writer.write(much)
    writer.write_eof()

    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == much.upper()
    await eventually(lambda: server.lost == [None])


async def test_a_delay_is_for_each_way(proxy: TcpProxy, client: Client) -> None:
    proxy.delay(0.1)
    began = time.monotonic()

    await _answered(client)

    assert time.monotonic() - began >= 0.2


async def test_of_a_stalled_network_nothing_is_lost(proxy: TcpProxy, client: Client) -> None:
    proxy.stall()
    client[1].write(b"held")

    proxy.resume()

    await _hears(client, b"HELD")


async def test_a_network_can_stall_on_the_way_out_alone(proxy: TcpProxy, server: Capitals, client: Client) -> None:
    proxy.stall("out")
    client[1].write(b"held")

    server.say(b"from the server")

    await _hears(client, b"from the server")
    assert server.heard == b"hello"


async def test_a_network_can_stall_on_the_way_back_alone(proxy: TcpProxy, server: Capitals, client: Client) -> None:
    proxy.stall("back")

    client[1].write(b"heard")

    await eventually(lambda: server.heard == b"helloheard")
    proxy.cut()
    await _is_reset(client)


async def test_what_was_dropped_never_arrives_and_its_connection_ends_with_the_fault(
    proxy: TcpProxy, server: Capitals, client: Client
) -> None:
    proxy.drop("back")
    client[1].write(b"heard")
    await eventually(lambda: server.heard == b"helloheard")

    proxy.resume()

    await _is_reset(client)
    await eventually(lambda: server.lost)


async def test_a_connection_that_lost_nothing_outlives_a_drop(proxy: TcpProxy, client: Client) -> None:
    proxy.drop()

    proxy.resume()

    await _answered(client)


async def test_a_cut_resets_both_sides(proxy: TcpProxy, server: Capitals, client: Client) -> None:
    proxy.cut()

    await _is_reset(client)
    await eventually(lambda: server.lost)
    assert isinstance(server.lost[0], ConnectionResetError)


async def test_a_cut_can_come_after_so_many_bytes(proxy: TcpProxy, server: Capitals, client: Client) -> None:
    proxy.cut_after(4, "out")

    client[1].write(b"12345678")

    await eventually(lambda: server.lost)
    assert server.heard == b"hello1234"


async def test_a_cut_after_so_many_bytes_is_for_new_connections_too_and_ends(proxy: TcpProxy, server: Capitals) -> None:
    proxy.cut_after(4, "back")
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"12345678")
    await _hears((reader, writer), b"1234")
    await _is_reset((reader, writer))

    proxy.resume()

    other = await asyncio.open_connection("127.0.0.1", proxy.port)
    await _answered(other)
    other[1].close()


async def test_a_connection_that_its_client_resets_is_reset_at_the_server(server: Capitals, client: Client) -> None:
    client[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    client[1].transport.abort()

    await eventually(lambda: server.lost)
    assert isinstance(server.lost[0], ConnectionResetError)


async def test_a_refused_connection_is_accepted_again_on_the_same_port(proxy: TcpProxy, client: Client) -> None:
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await _answered(client)

    await proxy.start()

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await _answered((reader, writer))
    writer.close()


async def test_a_server_that_is_away_resets_its_clients() -> None:
    proxy = TcpProxy("127.0.0.1", 1)
    await proxy.start()

    await _is_reset(await asyncio.open_connection("127.0.0.1", proxy.port))

    await proxy.stop()


async def test_the_server_can_be_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with await asyncio.get_running_loop().create_unix_server(Capitals, path):
        proxy = TcpProxy(str(path))
        await proxy.start()
        client = await asyncio.open_connection("127.0.0.1", proxy.port)
        await _answered(client)

        proxy.cut()

        await _is_reset(client)
        await proxy.stop()


async def test_by_hand_it_takes_faults_as_options_and_as_typed_lines(server: Capitals) -> None:
    command = [sys.executable, "-m", "tests.servers.tcp_proxy", "--to", f"127.0.0.1:{server.port}", "--stall"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=PROJECT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().split()[0]
        client = await asyncio.open_connection(*address.split(":"))
        client[1].write(b"held")

        process.stdin.write(b"a word it does not know\nresume\n")

        await _hears(client, b"HELD")
        process.stdin.write(b"cut\n")
        await _is_reset(client)
        process.send_signal(signal.SIGINT)
        said, _ = await process.communicate()
        assert (process.returncode, b"a-word" in said, said.count(b"usage:")) == (0, False, 1)
    finally:
        if process.returncode is None:
            process.kill()
