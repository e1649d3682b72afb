"""A collector of traces on the loopback address: it takes OTLP over HTTP, and keeps what it gets.

By hand, for `make bench`; it prints its URL, and at its end the number of spans: python -m tests.servers.collector
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.observability import tracing
from shared.observability.otlp import OtlpTracer

PATH = "/v1/traces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]  # the traces of these
    failed: bool
    attributes: dict[str, str | int | float]


@dataclass
class Collector:
    url: str
    bodies: list[bytes] = field(default_factory=list)

    @property
    def spans(self) -> list[Seen]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        of_resources = [scope.spans for each in requests for of in each.resource_spans for scope in of.scope_spans]
        return [_seen(span) for spans in of_resources for span in spans]


def _seen(span: Span) -> Seen:
    return Seen(
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple(link.trace_id.hex() for link in span.links),
        failed=bool(span.status.code),
        attributes={each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in span.attributes},
    )


@contextmanager
def collecting() -> Iterator[Collector]:
    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            good = self.path == PATH and self.headers["Content-Type"] == "application/x-protobuf"
            if good:
                collector.bodies.append(body)
            self.send_response(200 if good else 400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing among the lines of the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Takes) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}{PATH}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def tracing_to(
    url: str, *, sample: float = 1.0, trusts_inbound: bool = False, patience: float = 10
) -> AsyncIterator[Callable[[], bool]]:
    """This process is traced inside the block. All is sent after it, within `patience` seconds.

    Yields a function that sends what there is.
    """
    authorities = ssl.create_default_context()
    tracer = OtlpTracer("tests", url, sample=sample, trusts_inbound=trusts_inbound, verify=authorities)
    tracing.use(tracer)
    try:
        yield tracer._provider.force_flush
    finally:
        tracing.use(None)
        await tracer.stop(patience)


@asynccontextmanager
async def everything_traced() -> AsyncIterator[Callable[[], bytes]]:
    """Yields a function that returns all that was sent so far."""
    with collecting() as collector:
        async with tracing_to(collector.url) as flush:
            yield lambda: b"\n".join(collector.bodies if flush() else ())


if __name__ == "__main__":
    with collecting() as by_hand, suppress(KeyboardInterrupt):
        print(by_hand.url, flush=True)
        threading.Event().wait()
    print(f"{len(by_hand.spans)} spans")
