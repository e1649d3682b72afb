"""A mail server that costs next to nothing: it takes every mail, and knows when each arrived.

It answers `reset`, `count`, and `arrivals`: by recipient the moment of the final dot, by the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, cast

from tests.bench import workers

_RECIPIENT = re.compile(rb"RCPT TO:<([^>]*)>", re.IGNORECASE)
_END = b"\r\n.\r\n"


class Smtp(asyncio.Protocol):
    """Commands may come many at a time (PIPELINING)."""

    def __init__(self, arrivals: dict[str, float]) -> None:
        self._arrivals = arrivals
        self._buffer = b""
        self._recipient = ""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies = b""
        while (reply := self._next()) is not None:
            replies += reply
        if replies:
            self._transport.write(replies)

    def _next(self) -> bytes | None:
        """The reply to what is at the beginning of the buffer; None when that is not complete."""
        content, end, rest = self._buffer.partition(_END if self._in_data else b"\r\n")
        if not end:
            return None
        self._buffer = rest
        if self._in_data:
            self._in_data = False
            self._arrivals[self._recipient] = time.monotonic()
            return b"250 2.0.0 Taken\r\n"
        return self._reply(content)

    def _reply(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            return b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
        if verb == b"RCPT" and (named := _RECIPIENT.match(line)):
            self._recipient = named[1].decode()
        elif verb == b"DATA":
            self._in_data = True
            self._buffer = b"\r\n" + self._buffer  # else a dot on the very first line would not end the data
            return b"354 Go on\r\n"
        elif verb == b"QUIT":
            return b"221 2.0.0 Bye\r\n"
        return b"250 2.0.0 Ok\r\n"


async def _main() -> None:
    arrivals: dict[str, float] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Smtp(arrivals), "127.0.0.1", 0)

    async def answer(command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "reset":
            arrivals.clear()
        if command["do"] == "arrivals":
            return {"arrivals": arrivals}
        return {"count": len(arrivals)}

    await workers.answering(answer, port=server.sockets[0].getsockname()[1])


if __name__ == "__main__":
    workers.run(_main())
