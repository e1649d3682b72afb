"""JSON lines on standard output, one per event: our own, and those of libraries through `logging`."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar, Final, TextIO

import structlog
from structlog.processors import format_exc_info
from structlog.typing import EventDict

from shared.observability import tracing
from shared.observability.correlation import correlation_id

AUDIT = "audit"

_LEVELS: Final = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}

# `json.dumps` would create one per line. ASCII only, so that no value can start a new line.
_JSON: Final = json.JSONEncoder(default=repr)


def _render(_logger: Any, _method: str, event: EventDict) -> str:
    return _JSON.encode(event)


class _Lines:
    def __init__(self, stream: TextIO, least: int) -> None:
        self._stream = stream
        self.least = least

    def msg(self, line: str) -> None:
        # A full disk or a closed pipe must not fail a login.
        with suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


class Line:
    """A frequent info line in which only numbers vary: encoding the rest once is three times as fast as structlog."""

    _lines: ClassVar[_Lines | None] = None
    _end: ClassVar[str] = ""

    def __init__(self, event: str, **known: Any) -> None:
        self._begin = _JSON.encode(known | {"event": event, "level": "info"}).removesuffix("}")

    def write(self, **numbers: float) -> None:
        if self._lines is None or self._lines.least > logging.INFO:
            return
        varying = "".join([f', "{name}": {number}' for name, number in numbers.items()])
        current = encode_basestring_ascii(correlation_id.get())
        trace = f'"trace_id": "{trace_id}", ' if (trace_id := tracing.trace_id()) else ""
        end = trace + self._end
        self._lines.msg(f'{self._begin}{varying}, "timestamp": "{_now()}", "correlation_id": {current}, {end}')

    @classmethod
    def configure(cls, service: str, lines: _Lines) -> None:
        cls._lines, cls._end = lines, _JSON.encode({"service": service}).removeprefix("{")


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _leave_out(logger: _Lines, method: str, event: EventDict) -> EventDict:
    if _LEVELS[method] < logger.least:
        raise structlog.DropEvent
    return event


def configure(service: str, level: str, stream: TextIO = sys.stdout) -> None:
    def _complete(logger: Any, method: str, event: EventDict) -> EventDict:
        event["level"] = method
        event["timestamp"] = _now()
        event.setdefault("correlation_id", correlation_id.get())
        if trace_id := tracing.trace_id():
            event.setdefault("trace_id", trace_id)
        event.setdefault("service", service)
        return format_exc_info(logger, method, event) if "exc_info" in event else event

    least = _LEVELS[level]
    ours = _Lines(stream, least)
    # Audit lines are written at any LOG_LEVEL.
    audited = _Lines(stream, min(least, logging.INFO))
    Line.configure(service, ours)
    structlog.configure(
        processors=[_leave_out, _complete, _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=lambda *names: audited if AUDIT in names else ours,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_complete],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # At DEBUG these write whole message bodies, mails and SQL parameters.
    for bodies in ("aio_pika", "aiormq", "asyncio"):
        logging.getLogger(bodies).setLevel(max(logging.INFO, root.level))
    # These write SQL, URLs and mails at INFO.
    for noisy in ("sqlalchemy", "httpx", "httpcore", "aiosmtplib", "uvicorn", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
