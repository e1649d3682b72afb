"""A TCP proxy in front of a server: a network that fails on command.

A way is "out", from the client to the server, or "back". By hand, with faults at the start and others typed later:

    python -m tests.servers.tcp_proxy --listen 5673 --to 127.0.0.1:5672 --latency 0.2
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self, get_args
from urllib.parse import urlsplit, urlunsplit

from tests.servers.by_hand import Faults, by_hand

Way = Literal["out", "back"]
WAYS: tuple[Way, ...] = get_args(Way)

PIECE = 65536

# SO_LINGER on, for 0 s: closing the socket resets the connection, and what has not been sent yet is lost.
RESET = struct.pack("ii", 1, 0)


@dataclass
class _Faults:
    """What becomes of the bytes that go one way."""

    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    latency: float = 0
    dropping: bool = False
    cut_after: int | None = None

    def __post_init__(self) -> None:
        self.flowing.set()


class TcpProxy:
    """`start`, then let clients connect to `url(...)`; `stop` at the end.

    The server is `host` and `port`, or a unix socket if `host` is its path.
    """

    def __init__(self, host: str, port: int = 0, *, listen: int = 0) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._port = listen
        self._faults: dict[Way, _Faults] = {way: _Faults() for way in WAYS}
        self._lines: dict[_Line, asyncio.Task[None]] = {}

    @classmethod
    def to_broker(cls, url: str) -> Self:
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 5672)

    def url(self, url: str) -> str:
        """`url`, led through here."""
        parts = urlsplit(url)
        credentials = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{self._port}"))

    @property
    def port(self) -> int:
        """Known once it has been started."""
        return self._port

    async def start(self) -> None:
        """Accept connections, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """No new connections; those there are stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        """Reset every connection."""
        for line in self._lines:
            line.reset()

    def stall(self, *ways: Way) -> None:
        """Connections stay open and new ones are accepted, but no byte moves: a frozen server.

        One way only if given: what goes the other way arrives.
        """
        for way in ways or WAYS:
            self._faults[way].flowing.clear()

    def drop(self, *ways: Way) -> None:
        """What goes one way is lost, or what goes either way; who sent it is not told. `resume` says what then."""
        for way in ways or WAYS:
            self._faults[way].dropping = True

    def delay(self, seconds: float, *ways: Way) -> None:
        """Everything arrives so much later."""
        for way in ways or WAYS:
            self._faults[way].latency = seconds

    def cut_after(self, size: int, *ways: Way) -> None:
        """Reset each connection, new ones too, when so many more bytes have gone one way, or either way."""
        for line in self._lines:
            line.passed = dict.fromkeys(WAYS, 0)
        for way in ways or WAYS:
            self._faults[way].cut_after = size

    def resume(self) -> None:
        """No fault any more. A connection that has lost bytes is reset: TCP would never leave a gap."""
        for faults in self._faults.values():
            faults.flowing.set()
            faults.latency, faults.dropping, faults.cut_after = 0, False, None
        for line in self._lines:
            if line.has_gap:
                line.reset()

    async def stop(self) -> None:
        self.refuse()
        self.cut()
        tasks = list(self._lines.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(self._faults, reader, writer)
        task = asyncio.create_task(line.run(*self._target))
        self._lines[line] = task
        task.add_done_callback(lambda _: self._lines.pop(line))


class _Line:
    """One client's connection, and the one to the server that was made for it."""

    def __init__(self, faults: dict[Way, _Faults], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._faults = faults
        self._client = (reader, writer)
        self._writers = [writer]
        self._task: asyncio.Task[None] | None = None
        self.passed: dict[Way, int] = dict.fromkeys(WAYS, 0)
        self.has_gap = False

    async def run(self, host: str, port: int) -> None:
        reader, writer = self._client
        self._task = asyncio.current_task()
        try:
            server_reader, server_writer = await _connected(host, port)
            self._writers.append(server_writer)
            for each in self._writers:
                each.transport.set_write_buffer_limits(0)  # so that `drain` means sent
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump("out", reader, server_writer))
                pumps.create_task(self._pump("back", server_reader, writer))
        except* OSError:
            self.reset()
        finally:
            for each in self._writers:
                each.close()

    async def _pump(self, way: Way, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        faults = self._faults[way]
        while True:
            data = await source.read(PIECE)
            await asyncio.sleep(faults.latency)
            await faults.flowing.wait()
            if faults.dropping:
                self.has_gap = True
            elif data:
                await self._pass(way, data, target)
            else:
                target.write_eof()
            if not data:
                return

    async def _pass(self, way: Way, data: bytes, target: asyncio.StreamWriter) -> None:
        limit = self._faults[way].cut_after
        if limit is not None:
            data = data[: max(0, limit - self.passed[way])]
        target.write(data)
        await target.drain()
        self.passed[way] += len(data)
        if limit is not None and self.passed[way] >= limit:
            self.reset()

    def reset(self) -> None:
        for writer in self._writers:
            with suppress(OSError, AttributeError):  # closed already; a unix socket has nothing to reset
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        if self._task is not None:
            self._task.cancel()


async def _connected(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await (asyncio.open_unix_connection(host) if host.startswith("/") else asyncio.open_connection(host, port))


def _faults() -> Faults:
    faults = Faults()
    faults.add_argument("--latency", type=float, metavar="SECONDS")
    faults.add_argument("--stall", action="store_true", help="no byte moves")
    faults.add_argument("--drop", action="store_true", help="every byte is lost")
    faults.add_argument("--cut-after", type=int, metavar="BYTES", help="reset each connection after so many")
    faults.add_argument("--way", choices=WAYS, nargs="+", default=WAYS, help="of these faults; both if not given")
    faults.add_argument("--cut", action="store_true", help="reset every connection, once")
    faults.add_argument("--refuse", action="store_true", help="no new connections")
    faults.add_argument("--resume", action="store_true", help="all is well again")
    return faults


async def _apply(proxy: TcpProxy, asked: argparse.Namespace) -> None:
    if asked.latency is not None:
        proxy.delay(asked.latency, *asked.way)
    if asked.stall:
        proxy.stall(*asked.way)
    if asked.drop:
        proxy.drop(*asked.way)
    if asked.cut_after is not None:
        proxy.cut_after(asked.cut_after, *asked.way)
    if asked.cut:
        proxy.cut()
    if asked.refuse:
        proxy.refuse()
    if asked.resume:
        proxy.refuse()
        proxy.resume()
        await proxy.start()


async def _main() -> None:
    faults = _faults()
    parser = argparse.ArgumentParser(description="A TCP proxy that fails on command.", parents=[faults])
    parser.add_argument("--listen", type=int, default=0, metavar="PORT", help="of 127.0.0.1; 0 takes a free one")
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the server, or the path of its unix socket")
    asked = parser.parse_args()
    host, _, port = asked.to.rpartition(":")
    proxy = TcpProxy(host, int(port), listen=asked.listen) if host else TcpProxy(asked.to, listen=asked.listen)
    await proxy.start()
    print(f"127.0.0.1:{proxy.port} -> {asked.to}", flush=True)
    await _apply(proxy, asked)
    try:
        await by_hand(faults, lambda typed: _apply(proxy, typed))
    finally:
        await proxy.stop()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())
