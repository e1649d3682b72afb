"""What an event looks like on the wire, and how a message becomes one again, whoever sent it.

The event's type travels in the property `type`: the routing key changes on the way through a retry queue.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from aio_pika import DeliveryMode
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractIncomingMessage, HeadersType
from pamqp.common import FieldTable

from shared.broker.bus import Delivery, Message
from shared.broker.topology import EXCHANGE

EVENT_ID = "x-event-id"
ATTEMPT = "x-attempt"
REASON = "x-reason"
ATTEMPTS = "x-attempts"
DIED_AT = "x-died-at"
PUBLISHED_AT = "x-published-at"

SHORT_STRING = 255  # bytes: AMQP 0-9-1, 4.2.5.3. A longer property makes the library raise at every attempt.
MOST_ATTEMPTS = 1_000_000


def outgoing(message: Message, *, attempt: int = 1, headers: HeadersType | None = None) -> AmqpMessage:
    known: HeadersType = {PUBLISHED_AT: message.published_at.isoformat()} if message.published_at else {}
    return AmqpMessage(
        message.body,
        headers={EVENT_ID: short(message.event_id), ATTEMPT: attempt, **known, **(headers or {})},
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        # A fresh one per attempt: two publishes in flight with one id swap their results, and the
        # unroutable one of them counts as confirmed.
        message_id=uuid.uuid4().hex,
        correlation_id=short(message.correlation_id),
        type=short(message.routing_key),
        timestamp=datetime.now(UTC),
    )


def for_retry(delivery: Delivery, reason: str) -> AmqpMessage:
    attempt = min(delivery.attempt + 1, MOST_ATTEMPTS)
    return outgoing(delivery, attempt=attempt, headers={REASON: short(reason)})


def for_dead_letters(delivery: Delivery, reason: str) -> AmqpMessage:
    died_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    headers: HeadersType = {REASON: short(reason), ATTEMPTS: delivery.attempt, DIED_AT: died_at}
    return outgoing(delivery, attempt=delivery.attempt, headers=headers)


def received(message: AbstractIncomingMessage, *, waited_for: bool = False) -> Delivery:
    """Never raises: a stranger's message without our headers must not take the consumer down.

    `waited_for`: the broker had nothing else for its consumer. A copy, or what another consumer had first, is old.
    """
    attempt = number(message.headers.get(ATTEMPT)) or 1
    return Delivery(
        routing_key=event_type(message),
        body=message.body,
        event_id=event_id(message),
        correlation_id=text(message.correlation_id) or uuid.uuid4().hex,
        attempt=attempt,
        published_at=moment(message.headers.get(PUBLISHED_AT)),
        prompt=waited_for and attempt == 1 and not message.redelivered,
    )


def event_id(message: AbstractIncomingMessage) -> str:
    return text(message.headers.get(EVENT_ID)) or text(message.message_id) or uuid.uuid4().hex


def event_type(message: AbstractIncomingMessage) -> str:
    if message.exchange == EXCHANGE:
        return text(message.routing_key)  # the broker has matched it
    deaths = broker_deaths(message)
    keys = deaths[-1].get("routing-keys") if deaths else None
    oldest = keys[0] if isinstance(keys, list) and keys else None
    return text(message.type) or text(oldest) or text(message.routing_key)


def broker_deaths(message: AbstractIncomingMessage) -> list[FieldTable]:
    """What the broker noted each time it moved the message by itself, the latest first."""
    notes = message.headers.get("x-death")
    return [note for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []


def text(value: object) -> str:
    """`value` as a short text, or an empty one."""
    return short(value) if isinstance(value, str) else ""


def short(value: str) -> str:
    return value.encode(errors="replace")[:SHORT_STRING].decode(errors="ignore")


def moment(value: object) -> datetime | None:
    """`value` if it is a moment with its time zone in ISO 8601."""
    try:
        found = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def number(value: object) -> int | None:
    """`value` if it can be a count of attempts."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_ATTEMPTS:
        return value
    return None
