"""HTTP/1.1 as uvicorn speaks it, with an end to what a client may send before it means anything.

The application refuses headers of more than `MAX_HEADERS`, but it hears of a request only when they are complete, and
httptools keeps a header, an address or a trailer for as long as one comes.
"""

from __future__ import annotations

import json
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared import problems

# Bytes that have led to nothing yet: neither to a request, nor to a piece of its body, nor to its end.
MAX_UNFINISHED: Final = 65536


class BoundedHttp(HttpToolsProtocol):
    """Each connection has one of these."""

    _unfinished = 0

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
