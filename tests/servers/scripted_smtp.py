"""A mail server that says what a test tells it to, or nothing, and keeps every line that it hears."""

from __future__ import annotations

import asyncio
from typing import Self, cast

HOST = "127.0.0.1"


class ScriptedSmtp(asyncio.Protocol):
    """One client at a time. `seconds` pass before each reply; without a `greeting` there is never one."""

    def __init__(self, *, greeting: bool = True, extensions: tuple[str, ...] = (), seconds: float = 0) -> None:
        self.heard: list[str] = []
        self.connections = 0
        self._greeting = greeting
        self._extensions = extensions
        self._seconds = seconds
        self._transport: asyncio.Transport | None = None
        self._in_data = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: self, HOST, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        if self._transport is not None:
            self._transport.abort()
        await self._server.wait_closed()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connections += 1
        self._transport = cast("asyncio.Transport", transport)
        if self._greeting:
            self._reply("220 at your service")

    def data_received(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            self.heard.append(line)
            self._answer(line)

    def _answer(self, line: str) -> None:
        if self._in_data:
            self._in_data = line != "."
            if line == ".":
                self._reply("250 taken")
            return
        command = line[:4].upper()
        self._in_data = command == "DATA"
        if command == "EHLO":
            self._reply(*(f"250-{extension}" for extension in self._extensions), "250 SMTPUTF8")
        else:
            self._reply({"DATA": "354 go on", "QUIT": "221 bye"}.get(command, "250 OK"))

    def _reply(self, *lines: str) -> None:
        data = "".join(f"{line}\r\n" for line in lines).encode()
        asyncio.get_running_loop().call_later(self._seconds, self._write, data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
