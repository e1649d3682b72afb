"""Keeps message bodies out of the AMQP library's log records."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiormq.abc import DeliveredMessage


def _hide_messages(record: logging.LogRecord) -> bool:
    """The library logs a returned message whole, at ERROR, if its publisher has given up on it."""
    if record.args and not isinstance(record.args, Mapping):
        record.args = tuple(_without_body(arg) for arg in record.args)
    return True


def _without_body(arg: object) -> object:
    return f"<message, {len(arg.body)} bytes>" if isinstance(arg, DeliveredMessage) else arg


def hide_bodies() -> None:
    for name in ("aio_pika", "aiormq"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))  # at DEBUG they log every frame with its body
    logging.getLogger("aiormq.channel").addFilter(_hide_messages)  # safe to repeat
