"""JSON lines on standard output, one per event, each with its correlation id."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from shared.correlation import correlation_id

AUDIT = "audit"


def _correlate(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event.setdefault("correlation_id", correlation_id.get())
    return event


def configure(service: str, level: str, stream: TextIO = sys.stdout) -> None:
    """Route our own and every library's log through one JSON formatter."""

    def _name_service(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    common: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _correlate,
        _name_service,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # What is audited is written whatever level an operator asks for.
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    # At DEBUG these write whole message bodies, mails and SQL parameters.
    for bodies in ("aio_pika", "aiormq", "asyncio"):
        logging.getLogger(bodies).setLevel(max(logging.INFO, root.level))
    # And these write SQL, URLs and mails at INFO.
    for noisy in ("sqlalchemy", "httpx", "httpcore", "aiosmtplib", "uvicorn", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
