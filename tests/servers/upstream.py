"""An HTTP server that keeps what reaches it, and answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived: `target` with its query, `headers` in order and with repeats, names as sent."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Answer:
    """Without a status the connection is closed instead."""

    status: int | None = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Upstream:
    """`seen` has every request; `answers` may be replaced at any time."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.forget()

    def forget(self) -> None:
        self.seen: list[Seen] = []
        self.answers: Callable[[Seen], Answer] = lambda _seen: Answer()

    def last(self) -> Seen:
        assert self.seen, "nothing arrived"
        return self.seen[-1]


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


@contextmanager
def upstream(host: str = "127.0.0.1", port: int = 0) -> Iterator[Upstream]:
    """Serve until the end of the block; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            seen = Seen(self.command, self.path, list(self.headers.items()), self.rfile.read(length))
            server.seen.append(seen)
            answer = server.answers(seen)
            if answer.status is None:
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _take  # noqa: N815 - http.server looks for these

        def log_message(self, *_args: object) -> None:
            """Tests look at what was seen."""

    with _Server((host, port), Handler) as listening:
        server = Upstream(host, listening.server_port)
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
