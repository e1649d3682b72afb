"""HTTP/1.1 by uvicorn, but strict about where a request ends.

1. `Upgrade` is ignored (RFC 9110 section 7.8): httptools would parse a part of its body as the next request.
2. A request with an unclear end, or that is not HTTP, is refused once, in order; nothing more is parsed.
3. Unfinished input is limited: httptools buffers headers, URLs and trailers without limit.
4. A connection that closes during a request first drops the rest of it: else the client sees a reset, not the answer.
"""

from __future__ import annotations

import json
from asyncio import BaseTransport, TimerHandle, Transport
from collections.abc import Callable
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.web import problems

MAX_UNFINISHED: Final = 65536  # bytes since the last complete headers, piece of a body or end of a request

LINGER_BYTES: Final = 4 * 1024 * 1024
LINGER_SECONDS: Final = 5.0


class _Together:
    """Joins uvicorn's writes of head and body: each system call and packet is the largest cost of a short answer."""

    def __init__(self, transport: Transport, protocol: BoundedHttp) -> None:
        self._transport = transport
        self._protocol = protocol
        self._pieces: list[bytes] = []
        self.is_closing: Callable[[], bool] = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        if not self._pieces:
            self._protocol.loop.call_soon(self._send)
        self._pieces.append(piece)

    def close(self) -> None:
        """If the protocol lingers, it closes the connection later, and nothing more is written until then."""
        self._send()
        if self._protocol.lingers():
            self.is_closing = lambda: True
        else:
            self._transport.close()

    def _send(self) -> None:
        # The client may have hung up: uvloop raises on a write to a closed connection.
        if self._pieces and not self.is_closing():
            self._transport.write(b"".join(self._pieces))
        self._pieces.clear()


class _Parser(httptools.HttpRequestParser):
    """Parses the head of a request with `Upgrade` a second time, without that header."""

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
            super().__init__(self._protocol)  # reset: it took that head for a whole request, maybe the last one
            super().feed_data(head)


class BoundedHttp(HttpToolsProtocol):
    _unfinished = 0
    _in_message = False
    _refusal: bytes | None = None
    # While the connection lingers: bytes that may still be dropped, and the timer that closes it. Else None.
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
        """Whether to stay open for the rest of an answered request; False at the second call (timeout, shutdown)."""
        if self._droppable is not None or self._refusal is not None or self.pipeline:
            return False
        if not self._in_message or not self.cycle.response_complete:
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
        """Raises `_NotClear`; uvicorn then calls `send_400_response`."""
        self._unfinished = 0
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _NotClear
            return  # `_Parser` calls this again without `Upgrade`
        self._require_clear_end()
        super().on_headers_complete()
        self._in_message = True
        self.headers = []  # for trailers: the request keeps its own list

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        if self._in_message:
            self._in_message = False
            super().on_message_complete()
            if self._droppable is not None:
                raise _AnsweredAlready  # stops the parser

    def on_response_complete(self) -> None:
        was_last = not self.pipeline
        super().on_response_complete()
        if was_last and self._refusal is not None:
            self._end()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own sentence
        self._refuse(_BAD_REQUEST)

    def head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _drop(self, data: bytes) -> None:
        """Feed the parser, to find the end of the request; close there, at unclear data, or at the limit."""
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
        """RFC 9112: no transfer coding but `chunked`, none in HTTP/1.0 (6.1); one Host, or hops may differ (3.2)."""
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise _NotClear
        if version == "1.1" and sum(name == b"host" for name, _ in self.headers) != 1:
            raise _NotClear
        for name, value in self.headers:
            if name == b"transfer-encoding" and (version == "1.0" or value.strip().lower() != b"chunked"):
                raise _NotClear

    def _refuse(self, answer: bytes) -> None:
        """Answer after all earlier requests; if the response to this one has begun, close without an answer."""
        self._refusal = answer
        if self._in_message and self.pipeline:
            self.pipeline.popleft()  # the refused request; earlier ones still get their answers
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
    """The end of the request for which the connection lingered."""


class _NotClear(Exception):
    """The end of the request is ambiguous or unknown."""


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
