"""Auth's `/.well-known/jwks.json` as a small HTTP server that answers, hangs or talks nonsense on command."""

from __future__ import annotations

import asyncio
import json
from typing import Any


class KeysServer:
    """`start`, and give `url` to the client; `stop` closes the port, and `start` opens the same one again."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys})
        self.status = 200
        self.requests = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self._port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/.well-known/jwks.json"

    def publish(self, *keys: dict[str, Any]) -> None:
        self.status, self.body = 200, json.dumps({"keys": keys})

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.answering.set()
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            await self.answering.wait()
            head = (
                f"HTTP/1.1 {self.status} Status\r\nContent-Length: {len(self.body.encode())}\r\nConnection: close\r\n"
            )
            writer.write(f"{head}\r\n{self.body}".encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has lost patience, as it may
        finally:
            writer.close()
