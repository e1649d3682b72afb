"""Spans of OpenTelemetry. While TRACES is off, nothing of its SDK is imported and no tracer is called.

1. Only a sampled request begins a trace. Any other span belongs to one, or does not exist.
2. A span holds no secret, nothing of a person and no text of an error: spans leave this system.
3. A `traceparent` (W3C Trace Context) that arrives is untrusted text: one of another form counts as none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, Literal, Protocol

from prometheus_client import Counter

DROPPED = Counter(
    "login2fa_traces_dropped_total", "Spans lost because the queue was full or the collector did not take them."
)

Kind = Literal["SERVER", "INTERNAL", "PRODUCER", "CONSUMER", "CLIENT"]
Attributes = Mapping[str, str | int | float]

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][0-9a-f]")
_SAMPLED = 1  # of the flags


class Span(Protocol):
    @property
    def trace_id(self) -> str: ...

    @property
    def traceparent(self) -> str: ...

    def rename(self, name: str) -> None: ...

    def note(self, attributes: Attributes) -> None: ...

    def end(self, error: str = "") -> None:
        """`error`: its type."""


class Tracer(Protocol):
    """Made by `shared.observability.otlp`."""

    trusts_inbound: bool

    def start(
        self, name: str, kind: Kind, *, parent: str = "", remote: bool = True, link: str = "", attributes: Attributes
    ) -> Span | None:
        """None if it is not sampled. With a `link` instead of a parent it begins a trace, sampled like the other."""


_tracer: Tracer | None = None
_current: ContextVar[Span | None] = ContextVar("span", default=None)
_NONE: Final[AbstractContextManager[None]] = nullcontext()


def use(tracer: Tracer | None) -> None:
    global _tracer  # noqa: PLW0603 - read at each request: one look at a name of the module costs nothing
    _tracer = tracer


def accepted(traceparent: str) -> str:
    """`traceparent` if it names a sampled trace, else an empty text."""
    return traceparent if _TRACEPARENT.fullmatch(traceparent) and _is_sampled(traceparent) else ""


def _is_sampled(traceparent: str) -> bool:
    return bool(int(traceparent[-2:], 16) & _SAMPLED)


def trace_id() -> str | None:
    return span.trace_id if (span := _current.get()) is not None else None


def traceparent() -> str | None:
    """For what is caused here and happens elsewhere; None outside of a sampled trace."""
    return span.traceparent if (span := _current.get()) is not None else None


def begin_request(headers: Iterable[tuple[bytes, bytes]]) -> Token[Span | None] | None:
    """For `end_request`; None if the request is not sampled."""
    if _tracer is None:
        return None
    parent = _inbound(headers) if _tracer.trusts_inbound else ""
    if parent and not _is_sampled(parent):
        return None
    span = _tracer.start("request", "SERVER", parent=parent, attributes={})
    return None if span is None else _current.set(span)


def _inbound(headers: Iterable[tuple[bytes, bytes]]) -> str:
    given = [value.decode("latin-1") for name, value in headers if name == b"traceparent"]
    return given[0] if len(given) == 1 and _TRACEPARENT.fullmatch(given[0]) else ""


def end_request(begun: Token[Span | None], method: str, route: str, status: int) -> None:
    """`route`: its template, `-` if none matched."""
    span = _current.get()
    _current.reset(begun)
    if span is None:
        return
    known = {} if route == "-" else {"http.route": route}
    span.rename(f"{method} {route}" if known else method)
    span.note({"http.request.method": method, "http.response.status_code": status, **known})
    span.end(str(status) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "")


def step(
    name: str, kind: Kind = "INTERNAL", attributes: Attributes = MappingProxyType({})
) -> AbstractContextManager[Span | None]:
    """A span below the current one."""
    parent = _current.get()
    if parent is None or _tracer is None:
        return _NONE
    return _within(_tracer.start(name, kind, parent=parent.traceparent, remote=False, attributes=attributes))


def message(
    verb: Literal["send", "process"], destination: str, traceparent: str, attributes: Attributes, *, apart: bool = False
) -> AbstractContextManager[Span | None]:
    """A span of the message that carries `traceparent`. `apart`: in a trace of its own, with a link."""
    if not traceparent or _tracer is None:
        return _NONE
    known = {"messaging.system": "rabbitmq", "messaging.destination.name": destination, **attributes}
    parent, link = ("", traceparent) if apart else (traceparent, "")
    kind: Kind = "PRODUCER" if verb == "send" else "CONSUMER"
    return _within(_tracer.start(f"{verb} {destination}", kind, parent=parent, link=link, attributes=known))


def _within(span: Span | None) -> AbstractContextManager[Span | None]:
    return _NONE if span is None else _entered(span)


@contextmanager
def _entered(span: Span) -> Iterator[Span]:
    error = ""
    outer = _current.set(span)
    try:
        yield span
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        _current.reset(outer)
        span.end(error)
