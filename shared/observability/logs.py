"""JSON lines on standard output, one per event, each with its correlation id.

Our own lines are written at once, a request's among them; those of libraries come by way of `logging`. All look alike.
"""

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
from structlog.typing import EventDict, Processor

from shared.observability.correlation import correlation_id

AUDIT = "audit"

_LEVELS: Final = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}

# Made once: `json.dumps` would make one for each line. ASCII only, so that no value can begin a line of its own.
_JSON: Final = json.JSONEncoder(default=repr)


def _render(_logger: Any, _method: str, event: EventDict) -> str:
    return _JSON.encode(event)


class _Lines:
    """What structlog calls when a line is ready: `audit` has a least level of its own."""

    def __init__(self, stream: TextIO, least: int) -> None:
        self._stream = stream
        self.least = least

    def msg(self, line: str) -> None:
        # A full disk or a reader that has gone away must not refuse a login.
        with suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


class Line:
    """A kind of line at level info that is told all the time, and differs in its numbers alone.

    What is known of it is written down once: structlog, for which each line is a new one, takes three times as long.
    It looks like any other line. Before `configure` it is not written.
    """

    _lines: ClassVar[_Lines | None] = None
    _end: ClassVar[str] = ""

    def __init__(self, event: str, **known: Any) -> None:
        self._begin = _JSON.encode(known | {"event": event, "level": "info"}).removesuffix("}")

    def write(self, **numbers: float) -> None:
        if self._lines is None or self._lines.least > logging.INFO:
            return
        told = "".join([f', "{name}": {number}' for name, number in numbers.items()])
        current = encode_basestring_ascii(correlation_id.get())
        self._lines.msg(f'{self._begin}{told}, "timestamp": "{_now()}", "correlation_id": {current}, {self._end}')

    @classmethod
    def configure(cls, service: str, lines: _Lines) -> None:
        """For all of them."""
        cls._lines, cls._end = lines, _JSON.encode({"service": service}).removeprefix("{")


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _leave_out(logger: _Lines, method: str, event: EventDict) -> EventDict:
    if _LEVELS[method] < logger.least:
        raise structlog.DropEvent
    return event


def configure(service: str, level: str, stream: TextIO = sys.stdout) -> None:
    """Route our own and every library's log through one JSON formatter."""

    def _complete(logger: Any, method: str, event: EventDict) -> EventDict:
        event["level"] = method
        event["timestamp"] = _now()
        event.setdefault("correlation_id", correlation_id.get())
        event.setdefault("service", service)
        return format_exc_info(logger, method, event) if "exc_info" in event else event

    common: list[Processor] = [_complete]
    least = _LEVELS[level]
    ours = _Lines(stream, least)
    # What is audited is written whatever level an operator asks for.
    audited = _Lines(stream, min(least, logging.INFO))
    Line.configure(service, ours)
    structlog.configure(
        processors=[_leave_out, *common, _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=lambda *names: audited if AUDIT in names else ours,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # At DEBUG these write whole message bodies, mails and SQL parameters.
    for bodies in ("aio_pika", "aiormq", "asyncio"):
        logging.getLogger(bodies).setLevel(max(logging.INFO, root.level))
    # And these write SQL, URLs and mails at INFO.
    for noisy in ("sqlalchemy", "httpx", "httpcore", "aiosmtplib", "uvicorn", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
