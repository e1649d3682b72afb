"""HTTP/1.1 as uvicorn speaks it, but strict about where a request ends.

- A request that asks for another protocol is read as if it did not ask (RFC 9110 section 7.8). httptools skips the body
  of such a request, and takes what comes later of it for the next request.
- A request whose end is not clear, and one that is not HTTP, is refused once, in its turn; nothing more is parsed.
- A client may send so much before it means anything, and no more. The application refuses headers of more than
  `MAX_HEADERS`, but it hears of a request only when they are complete, and httptools keeps a header, an address or a
  trailer for as long as one comes.
- A connection that ends with an answer to a request that is still coming stays open while the rest of that request is
  read and dropped, for `LINGER_BYTES` and `LINGER_SECONDS` at most. A client that is still sending when a connection
  closes sees it break, and never the answer.
"""

from __future__ import annotations

import json
from asyncio import BaseTransport, TimerHandle, Transport
from collections.abc import Callable
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.web import problems

# Bytes that have led to nothing yet: neither to a request, nor to a piece of its body, nor to its end.
MAX_UNFINISHED: Final = 65536

# A request that has its answer already.
LINGER_BYTES: Final = 4 * 1024 * 1024
LINGER_SECONDS: Final = 5.0


class _Together:
    """A transport whose writes of one moment go out together: uvicorn writes the head of an answer, then its body.

    Each write would be a system call and a packet, which is the largest single cost of a short answer.
    """

    def __init__(self, transport: Transport, protocol: BoundedHttp) -> None:
        self._transport = transport
        self._protocol = protocol
        self._loop = protocol.loop
        self._pieces: list[bytes] = []
        self.is_closing: Callable[[], bool] = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(piece)

    def close(self) -> None:
        """The protocol may linger before it closes the connection itself: until then nothing more is written."""
        self._send()
        if self._protocol.lingers():
            self.is_closing = _always
        else:
            self._transport.close()

    def _send(self) -> None:
        # A client may have hung up meanwhile: uvloop raises when a connection that is closed is written to.
        if self._pieces and not self.is_closing():
            self._transport.write(b"".join(self._pieces))
        self._pieces.clear()


def _always() -> bool:
    return True


class _Parser(httptools.HttpRequestParser):
    """Reads the head of a request that asks for another protocol a second time, without its `Upgrade`."""

    def __init__(self, protocol: BoundedHttp) -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: Any) -> None:
        while True:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as end_of_head:
                data = memoryview(data)[end_of_head.args[0] :]
            else:
                return
            head = self._protocol.head_without_upgrade()
            super().__init__(self._protocol)  # it has taken that head for a whole request, maybe for the last one
            super().feed_data(head)


class BoundedHttp(HttpToolsProtocol):
    """Each connection has one of these."""

    _unfinished = 0
    _in_message = False
    _refusal: bytes | None = None
    # Bytes that may still be dropped while the connection lingers, and what ends it; None while it does not.
    _droppable: int | None = None
    _lingers_until: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        self.parser = _Parser(self)
        super().connection_made(cast("Transport", _Together(cast("Transport", transport), self)))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lingers_until is not None:
            self._lingers_until.cancel()
        super().connection_lost(exc)

    def lingers(self) -> bool:
        """Whether a connection that would close stays open, for the rest of a request that has its answer.

        Asked a second time it is over: the time is up, or the server stops.
        """
        if self._droppable is not None or self._refusal is not None or self.pipeline or not self._in_message:
            return False
        if not self.cycle.response_complete:
            return False
        self._droppable = LINGER_BYTES
        self._lingers_until = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        self.flow.resume_reading()
        return True

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        if self._droppable is not None:
            self._drop(data)
            return
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_UNFINISHED and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Raises `_NotClear`, which the parser carries to `send_400_response`."""
        self._unfinished = 0
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _NotClear
            return  # the parser comes back without the upgrade
        self._require_clear_end()
        super().on_headers_complete()
        self._in_message = True
        self.headers = []  # for trailers: the request has its headers

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Raises `_AnsweredAlready`, which stops the parser."""
        self._unfinished = 0
        if self._in_message:
            self._in_message = False
            super().on_message_complete()
            if self._droppable is not None:
                raise _AnsweredAlready

    def on_response_complete(self) -> None:
        was_last = not self.pipeline
        super().on_response_complete()
        if was_last and self._refusal is not None:
            self._end()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own sentence
        self._refuse(_BAD_REQUEST)

    def head_without_upgrade(self) -> bytes:
        """The head that was read last."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _drop(self, data: bytes) -> None:
        """The parser says where the request ends; what comes after it, and what is not clear, ends the connection."""
        self._droppable = (self._droppable or 0) - len(data)
        if self._droppable > 0:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError:
                pass
            else:
                return
        self.transport.close()

    def _require_clear_end(self) -> None:
        """RFC 9112 section 6.1: HTTP/1.0 has no transfer codings, and we know no other than `chunked`.

        Section 3.2: a request names one host. With two of them each hop may mean another.
        """
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise _NotClear
        if version == "1.1" and sum(name == b"host" for name, _ in self.headers) != 1:
            raise _NotClear
        for name, value in self.headers:
            if name == b"transfer-encoding" and (version == "1.0" or value.strip().lower() != b"chunked"):
                raise _NotClear

    def _refuse(self, answer: bytes) -> None:
        """Once the requests before have their answers; at once if one has begun, as no answer is owed any more."""
        self._refusal = answer
        if self._in_message and self.pipeline:
            self.pipeline.popleft()  # the request that is refused; those before it wait for their turn too
        elif self._in_message:
            if self.cycle.response_started:
                self._refusal = b""
            self._end()
        elif self.cycle is None or self.cycle.response_complete:
            self._end()

    def _end(self) -> None:
        if self._refusal and not self.transport.is_closing():
            self.transport.write(self._refusal)
        self.transport.close()


class _AnsweredAlready(Exception):
    """The request is complete, and its connection was only kept open for that."""


class _NotClear(Exception):
    """Where the request ends can be read in two ways, or not at all."""


def _answer(status: str, code: str, detail: str) -> bytes:
    content = json.dumps(problems.document(int(status[:3]), code, detail)).encode()
    head = (
        f"HTTP/1.1 {status}\r\n"
        f"content-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content


_BAD_REQUEST: Final = _answer("400 Bad Request", "bad_request", "The request could not be understood")
_TOO_LARGE: Final = _answer(
    "431 Request Header Fields Too Large", "headers_too_large", "The request headers are too large"
)
