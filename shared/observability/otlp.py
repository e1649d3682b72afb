"""Sends spans to a collector by OTLP over HTTP. Imported only if TRACES asks for it: its packages are an extra.

1. A collector that is slow or away costs spans, which are counted, and never a request.
2. The end of the process waits for it at most as long as `stop` is told.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

import httpx
import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from shared.observability.tracing import DROPPED, Attributes, Kind, Span

log = structlog.get_logger()

TIMEOUT = 2.0
# Spans: about 2 kB each in memory.
QUEUE = 2048
BATCH = 512
_EVERY_MS = 1000.0

_ROOT = Context()


class OtlpTracer:
    """`verify`: for a collector that is spoken to over TLS."""

    def __init__(
        self, service: str, endpoint: str, *, sample: float, trusts_inbound: bool, verify: ssl.SSLContext
    ) -> None:
        self.trusts_inbound = trusts_inbound
        resource = Resource({"service.name": f"login2fa-{service}", "service.instance.id": str(uuid4())})
        # Its own end at exit would wait for the collector.
        self._provider = TracerProvider(ParentBased(ALWAYS_ON), resource, shutdown_on_exit=False)
        self._sample = sample
        self._provider.add_span_processor(_Queue(_Collector(endpoint, verify)))
        self._tracer = self._provider.get_tracer("login2fa")

    def start(
        self, name: str, kind: Kind, *, parent: str = "", remote: bool = True, link: str = "", attributes: Attributes
    ) -> Span | None:
        # Before the SDK, whose samplers are asked about a trace that is made already. A trace with a link goes on with
        # one that was sampled: at a hundredth of a hundredth no replay would be seen.
        if not parent and not link and random.random() >= self._sample:  # noqa: S311 - nothing secret
            return None
        within = _ROOT
        if parent:
            within = trace.set_span_in_context(NonRecordingSpan(_context(parent, remote=remote)), _ROOT)
        links = [Link(_context(link, remote=remote))] if link else None
        span = self._tracer.start_span(name, within, SpanKind[kind], dict(attributes), links)
        return _OtlpSpan(span) if span.is_recording() else None

    async def stop(self, within: float) -> None:
        """Sends what is left, for at most `within` seconds."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waits any longer
                loop.call_soon_threadsafe(ended.set)

        # A daemon: the interpreter waits at its exit for the threads of a pool.
        threading.Thread(target=shut_down, name="traces", daemon=True).start()
        try:
            async with asyncio.timeout(within):
                await ended.wait()
        except TimeoutError:
            log.warning("the last traces are abandoned: the collector takes too long")


class _OtlpSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace_id = trace.format_trace_id(context.trace_id)
        self.traceparent = f"00-{self.trace_id}-{trace.format_span_id(context.span_id)}-01"

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def end(self, error: str = "") -> None:
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _context(traceparent: str, *, remote: bool) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), remote, TraceFlags(int(flags, 16)))


class _Collector(SpanExporter):
    """Not the exporter of OpenTelemetry: that one trusts other authorities than we do, and obeys proxies."""

    def __init__(self, endpoint: str, verify: ssl.SSLContext) -> None:
        self._endpoint = endpoint
        self._client = httpx.Client(verify=verify, trust_env=False, timeout=TIMEOUT)
        self._failing = False
        self.exported = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.exported += len(spans)
        error = self._send(encode_spans(spans).SerializeToString())
        if error:
            DROPPED.inc(len(spans))
        if bool(error) != self._failing:
            self._failing = bool(error)
            log.warning("collector of the traces", answer=error or "takes them again")
        return SpanExportResult.FAILURE if error else SpanExportResult.SUCCESS

    def _send(self, body: bytes) -> str:
        """Why it failed."""
        try:
            answer = self._client.post(self._endpoint, content=body, headers={"Content-Type": "application/x-protobuf"})
        except httpx.HTTPError as error:
            return type(error).__name__
        return "" if answer.is_success else str(answer.status_code)

    def shutdown(self) -> None:
        self._client.close()


class _Queue(BatchSpanProcessor):
    """Counts what it drops: the SDK's would drop the same without a word to us."""

    def __init__(self, collector: _Collector) -> None:
        super().__init__(collector, QUEUE, _EVERY_MS, BATCH, TIMEOUT * 1000)
        self._collector = collector
        self._given = 0  # written by the loop's thread alone, as `exported` by the sender's

    def on_end(self, span: ReadableSpan) -> None:
        if self._given - self._collector.exported >= QUEUE:
            DROPPED.inc()
            return
        self._given += 1
        super().on_end(span)
