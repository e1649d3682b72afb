"""HTTP/1.1 as uvicorn speaks it, with an end to what a client may send before it means anything.

The application refuses headers of more than `MAX_HEADERS`, but it hears of a request only when they are complete, and
httptools keeps a header, an address or a trailer for as long as one comes.
"""

from __future__ import annotations

import json
from asyncio import AbstractEventLoop, BaseTransport, Transport
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared import problems

# Bytes that have led to nothing yet: neither to a request, nor to a piece of its body, nor to its end.
MAX_UNFINISHED: Final = 65536


class _Together:
    """A transport whose writes of one moment go out together: uvicorn writes the head of an answer, then its body.

    Each write would be a system call and a packet, which is the largest single cost of a short answer.
    """

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(piece)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        # A client may have hung up meanwhile: uvloop raises when a connection that is closed is written to.
        if self._pieces and not self.is_closing():
            self._transport.write(b"".join(self._pieces))
        self._pieces.clear()


class BoundedHttp(HttpToolsProtocol):
    """Each connection has one of these."""

    _unfinished = 0

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast("Transport", _Together(cast("Transport", transport), self.loop)))

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_UNFINISHED and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        super().on_message_complete()

    def _refuse(self) -> None:
        # An answer that is under way would be taken for the one to this request.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LARGE)
        self.transport.close()


def _answer() -> bytes:
    content = json.dumps(problems.document(431, "headers_too_large", "The request headers are too large")).encode()
    head = (
        "HTTP/1.1 431 Request Header Fields Too Large\r\n"
        f"content-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content


_TOO_LARGE: Final = _answer()
