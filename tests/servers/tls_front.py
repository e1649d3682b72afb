"""TLS before a real server: it shows a certificate, and passes on what was said inside.

`heard` is what a client has let out of its hands: in clear, or over TLS to whoever holds the certificate.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# Postgres' own way to begin: the client asks with these bytes, and the server answers S or N.
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"

Target = tuple[str, int] | Path


@dataclass
class TlsFront:
    """With `asked` TLS begins when the client has said it, after `answer`; else at once.

    Without `certificate` nothing is encrypted, whatever the client asks for.
    """

    target: Target
    certificate: Path | None
    asked: bytes = b""
    answer: bytes = b""
    port: int = 0
    heard: bytearray = field(default_factory=bytearray)
    connections: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            if self.asked:
                self.heard += await reader.readexactly(len(self.asked))
                writer.write(self.answer)
            if self.certificate is not None:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self.certificate)
                await writer.start_tls(context)
            await self._pass_on(reader, writer)
        writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = self.target
        opening = asyncio.open_unix_connection(target) if isinstance(target, Path) else asyncio.open_connection(*target)
        theirs, to_them = await opening
        ways = {
            asyncio.create_task(_copy(reader, to_them, self.heard)),
            asyncio.create_task(_copy(theirs, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            to_them.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, kept: bytearray | None = None) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            if kept is not None:
                kept += data
            sink.write(data)
            await sink.drain()


@asynccontextmanager
async def before(front: TlsFront) -> AsyncIterator[TlsFront]:
    """It listens on 127.0.0.1."""
    listening = await asyncio.start_server(front.talk, "127.0.0.1")
    front.port = listening.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        listening.close()
