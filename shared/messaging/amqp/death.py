"""Reads a dead letter; we (`x-reason`) or the broker itself (`x-death`) moved it to its queue."""

from __future__ import annotations

from datetime import datetime

from aio_pika.abc import AbstractIncomingMessage
from pamqp.common import FieldTable

from shared.messaging.amqp.messages import (
    ATTEMPT,
    ATTEMPTS,
    DIED_AT,
    REASON,
    REPLAYED,
    Outgoing,
    broker_deaths,
    event_id,
    event_type,
    number,
    outgoing,
    received,
    text,
)
from shared.messaging.bus import DeadLetter


def described(message: AbstractIncomingMessage, queue: str) -> DeadLetter:
    reason, died_at = _ours(message) if DIED_AT in message.headers else _the_brokers(message)
    return DeadLetter(
        queue=queue,
        event_id=event_id(message),
        event_type=event_type(message),
        size=len(message.body),
        reason=reason or "unknown",
        attempts=number(message.headers.get(ATTEMPTS)) or number(message.headers.get(ATTEMPT)),
        died_at=died_at,
    )


def for_replay(message: AbstractIncomingMessage) -> Outgoing:
    """A first attempt again; a header keeps it from counting as fresh. Its MAC stays valid."""
    return outgoing(received(message), attempt=1, headers={REPLAYED: True})


def _ours(message: AbstractIncomingMessage) -> tuple[str, datetime | None]:
    try:
        died_at = datetime.fromisoformat(text(message.headers.get(DIED_AT)))
    except ValueError:
        died_at = None
    return text(message.headers.get(REASON)), died_at


def _the_brokers(message: AbstractIncomingMessage) -> tuple[str, datetime | None]:
    latest: FieldTable = next(iter(broker_deaths(message)), {})
    died_at = latest.get("time")
    return text(latest.get("reason")), died_at if isinstance(died_at, datetime) else None
