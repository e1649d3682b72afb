"""Converts events to AMQP messages and back; the property `type` keeps the event's type through a retry queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from aio_pika import DeliveryMode
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.common import FieldTable
from uuid_utils import uuid4

from shared.messaging.bus import Delivery, Message, Retry
from shared.messaging.topology import EVENTS_EXCHANGES
from shared.observability import tracing

EVENT_ID = "x-event-id"
TYPE = "type"  # for consumers of others, whose library does not show them the property
ATTEMPT = "x-attempt"
PUT_OFF = "x-put-off"
REASON = "x-reason"
ATTEMPTS = "x-attempts"
DIED_AT = "x-died-at"
PUBLISHED_AT = "x-published-at"
MAC = "x-mac"
REPLAYED = "x-replayed"
TRACEPARENT = "traceparent"  # the name of W3C's draft for AMQP

SHORT_STRING = 255  # bytes: AMQP 0-9-1, 4.2.5.3. The library raises for a longer property, at every attempt.
MOST_ATTEMPTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The library's own message class would cost as much to make as all of the message's frames."""

    body: bytes
    properties: Basic.Properties


@dataclass(frozen=True, slots=True)
class Arrived:
    """Likewise for a received message; the fields have the names of the library's message."""

    body: bytes
    headers: FieldTable
    exchange: str | None
    routing_key: str | None
    redelivered: bool | None
    delivery_tag: int | None
    type: str | None
    message_id: str | None
    correlation_id: str | None

    @classmethod
    def of(cls, delivered: DeliveredMessage) -> Arrived:
        properties = delivered.header.properties
        return cls(
            body=delivered.body,
            headers=properties.headers or {},
            exchange=delivered.exchange,
            routing_key=delivered.routing_key,
            redelivered=delivered.redelivered,
            delivery_tag=delivered.delivery_tag,
            type=properties.message_type,
            message_id=properties.message_id,
            correlation_id=properties.correlation_id,
        )


def outgoing(message: Message, *, attempt: int = 1, headers: FieldTable | None = None) -> Outgoing:
    known: FieldTable = {PUBLISHED_AT: message.published_at.isoformat()} if message.published_at else {}
    if message.mac:
        known[MAC] = short(message.mac)
    if message.traceparent:
        known[TRACEPARENT] = message.traceparent
    event_type = short(message.routing_key)
    properties = Basic.Properties(
        headers={EVENT_ID: short(message.event_id), TYPE: event_type, ATTEMPT: attempt, **known, **(headers or {})},
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        # New for each attempt: two publishes in flight with one id swap results; an unroutable one looks confirmed.
        message_id=uuid4().hex,
        correlation_id=short(message.correlation_id),
        message_type=event_type,
        timestamp=datetime.now(UTC),
    )
    return Outgoing(message.body, properties)


def for_retry(delivery: Delivery, retry: Retry) -> Outgoing:
    attempt = min(delivery.attempt + retry.tried, MOST_ATTEMPTS)
    put_off = min(delivery.put_off + (not retry.tried), MOST_ATTEMPTS)
    headers: FieldTable = {REASON: short(retry.reason), PUT_OFF: put_off}
    return outgoing(delivery, attempt=attempt, headers=headers | ({REPLAYED: True} if delivery.replayed else {}))


def for_dead_letters(delivery: Delivery, reason: str) -> Outgoing:
    died_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    headers: FieldTable = {REASON: short(reason), ATTEMPTS: delivery.attempt, DIED_AT: died_at}
    return outgoing(delivery, attempt=delivery.attempt, headers=headers)


def received(message: Arrived, *, waited_for: bool = False) -> Delivery:
    """Never raises: a foreign message without our headers must not stop the consumer."""
    attempt = number(message.headers.get(ATTEMPT)) or 1
    # Only a first delivery from an events exchange is new; everything else may have waited elsewhere.
    is_event = message.exchange in EVENTS_EXCHANGES
    is_copy = not is_event or attempt > 1 or REASON in message.headers or REPLAYED in message.headers
    return Delivery(
        routing_key=event_type(message),
        body=message.body,
        event_id=event_id(message),
        correlation_id=text(message.correlation_id) or uuid4().hex,
        attempt=attempt,
        put_off=number(message.headers.get(PUT_OFF)) or 0,
        published_at=moment(message.headers.get(PUBLISHED_AT)),
        mac=text(message.headers.get(MAC)),
        traceparent=tracing.accepted(text(message.headers.get(TRACEPARENT))),
        replayed=REPLAYED in message.headers,
        fresh=waited_for and not is_copy and not message.redelivered,
    )


def event_id(message: Arrived) -> str:
    return text(message.headers.get(EVENT_ID)) or text(message.message_id) or uuid4().hex


def event_type(message: Arrived) -> str:
    if message.exchange in EVENTS_EXCHANGES:
        return text(message.routing_key)  # trusted: the broker has matched it with a binding
    deaths = broker_deaths(message)
    keys = deaths[-1].get("routing-keys") if deaths else None
    oldest = keys[0] if isinstance(keys, list) and keys else None
    return text(message.type) or text(oldest) or text(message.routing_key)


def broker_deaths(message: Arrived) -> list[FieldTable]:
    """The broker's notes on each move that it made by itself, the latest first."""
    notes = message.headers.get("x-death")
    return [note for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []


def text(value: object) -> str:
    """`value` cut to `SHORT_STRING` bytes; empty if it is no string."""
    return short(value) if isinstance(value, str) else ""


def short(value: str) -> str:
    return value.encode(errors="replace")[:SHORT_STRING].decode(errors="ignore")


def moment(value: object) -> datetime | None:
    """`value` if it is an ISO 8601 time with a time zone."""
    try:
        found = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def number(value: object) -> int | None:
    return value if type(value) is int and 1 <= value <= MOST_ATTEMPTS else None
