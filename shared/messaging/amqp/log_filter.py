"""Keeps message bodies out of the AMQP library's own log records."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiormq.abc import DeliveredMessage


class HideMessages(logging.Filter):
    """A message that is returned after its publisher gave up on it is logged whole, and at ERROR."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.args and not isinstance(record.args, Mapping):
            record.args = tuple(_without_body(arg) for arg in record.args)
        return True


def _without_body(arg: object) -> object:
    return f"<message, {len(arg.body)} bytes>" if isinstance(arg, DeliveredMessage) else arg


_hide_messages = HideMessages()


def hide_bodies() -> None:
    """Whatever the application's own level is. Cheap; called before every connection."""
    for name in ("aio_pika", "aiormq"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))  # at DEBUG they write every frame, body included
    logging.getLogger("aiormq.channel").addFilter(_hide_messages)  # adding it twice adds it once
