"""A mail server that says yes to everything but TLS: what a client lets out of its hands to it is in `heard`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_REPLIES = {b"AUTH": b"235 2.7.0 Welcome\r\n", b"DATA": b"354 Go on\r\n", b"QUIT": b"221 Bye\r\n"}


@dataclass
class PretendingSmtp:
    """`starttls` is all it says to that command, in one piece; with `context` TLS really begins then.

    `offers` are the lines of its greeting to EHLO; over TLS it offers nothing.
    """

    starttls: bytes = b"454 4.7.0 TLS not available\r\n"
    offers: tuple[bytes, ...] = (b"STARTTLS", b"AUTH PLAIN LOGIN")
    context: ssl.SSLContext | None = None
    heard: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def commands(self) -> set[bytes]:
        return {line[:4].upper() for line in self.heard}

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError):  # the client has gone, or goes on with what is no line
            writer.write(b"220 localhost\r\n")
            while line := await reader.readline():
                self.heard.append(line.rstrip())
                await self._answer(line[:4].upper(), writer)
        writer.close()

    async def _answer(self, command: bytes, writer: asyncio.StreamWriter) -> None:
        if command == b"STAR":
            writer.write(self.starttls)
            if self.context is not None:
                await writer.start_tls(self.context)
                self.offers = ()
        elif command == b"EHLO":
            lines = (b"localhost", *self.offers)
            writer.write(b"".join(b"250-%s\r\n" % line for line in lines[:-1]) + b"250 %s\r\n" % lines[-1])
        else:
            writer.write(_REPLIES.get(command, b"250 OK\r\n"))


@asynccontextmanager
async def pretending(server: PretendingSmtp) -> AsyncIterator[PretendingSmtp]:
    """It listens on 127.0.0.1."""
    listening = await asyncio.start_server(server.talk, "127.0.0.1")
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
