"""The bus of a service: it signs events, and gives up a forged one before a handler sees it."""

from __future__ import annotations

import structlog
from prometheus_client import Counter

from shared.messaging.bus import Bus, Consumption, Delivery, GiveUp, Handler, Message, Outcome
from shared.messaging.edges import EdgeKeys
from shared.messaging.handling import initialise, watch
from shared.messaging.topology import events_exchange, subscription
from shared.observability import tracing

log = structlog.get_logger()

REFUSED = Counter("login2fa_events_refused_total", "Forged or unsigned events, given up.", ["queue", "type"])

# Label for events of a type that the queue is not for: foreign text must not create a metric series.
OTHER = "other"

_ROUTING_KEY = "messaging.rabbitmq.destination.routing_key"  # OpenTelemetry's name


class SignedBus:
    def __init__(self, bus: Bus, keys: EdgeKeys) -> None:
        self._bus = bus
        self._keys = keys

    async def publish(self, message: Message) -> None:
        """See `Bus.publish`. Also raises `NoKeys`."""
        key = message.routing_key
        exchange = events_exchange(key.partition(".")[0])
        with tracing.message("send", exchange, message.traceparent, {_ROUTING_KEY: key}):
            await self._bus.publish(self._keys.signed(message))

    @staticmethod
    def initialise(queue: str) -> None:
        """Begin all series of the queue: one that begins later at 1 never shows an increase."""
        for label in (*subscription(queue).routing_keys, OTHER):
            REFUSED.labels(queue, label)
        initialise(queue)

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> Consumption:
        """See `Bus.consume`. Also raises `NoKeys` if the keys of an event of this queue are missing."""
        wanted = subscription(queue).routing_keys
        for event_type in wanted:
            self._keys.of_type(event_type)
        self.initialise(queue)

        async def check_and_handle(delivery: Delivery) -> Outcome:
            event_type = delivery.routing_key if delivery.routing_key in wanted else OTHER
            if event_type != OTHER and self._keys.verify(delivery):
                return await handler(delivery)
            REFUSED.labels(queue, event_type).inc()
            log.error(
                "event refused: forged or unsigned", queue=queue, event_type=event_type, event_id=delivery.event_id
            )
            return GiveUp("forged or unsigned")

        consumption = await self._bus.consume(queue, check_and_handle, concurrency=concurrency)
        watch(queue, lambda: consumption.live)
        return consumption
