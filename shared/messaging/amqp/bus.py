"""The bus on RabbitMQ. `publisher`, `consumer` and `topology` keep its promises."""

from __future__ import annotations

import asyncio

import structlog

from shared.messaging.amqp.broker import Broker
from shared.messaging.amqp.consumer import AmqpConsumption
from shared.messaging.amqp.messages import outgoing
from shared.messaging.amqp.publisher import Publisher
from shared.messaging.amqp.settle import Settler
from shared.messaging.bus import Handler, Message, Rejected, Unroutable
from shared.messaging.topology import events_exchange, process_of, subscription

log = structlog.get_logger()


class AmqpBus:
    def __init__(self, *urls: str, name: str = "login2fa", heartbeat: int = 5) -> None:
        self._broker = Broker(*urls, name=name, heartbeat=heartbeat)
        self._publisher = Publisher(self._broker)
        self._consumptions: list[AmqpConsumption] = []

    async def publish(self, message: Message) -> None:
        """See `bus.Bus.publish`. Takes at most `publisher.PUBLISH_SECONDS` seconds."""
        key, mandatory = message.routing_key, message.mandatory
        try:
            exchange = events_exchange(process_of(key))
        except LookupError as error:
            raise Unroutable(str(error)) from None
        try:
            await self._publisher.publish(outgoing(message), exchange=exchange, routing_key=key, mandatory=mandatory)
        except Rejected:
            if mandatory:
                raise
            # An operator's queue is full. Endless retries would delay the codes behind this event.
            log.warning("refused by a full queue, and given up", event_type=key, event_id=message.event_id)

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> AmqpConsumption:
        wanted = subscription(queue)
        consumption = AmqpConsumption(self._broker, wanted, handler, Settler(self._publisher, wanted), concurrency)
        self._consumptions.append(consumption)
        try:
            await consumption.first_attempt()
        except BaseException:
            await consumption.stop(0)
            raise
        return consumption

    async def close(self) -> None:
        await asyncio.gather(*(each.stop(0) for each in self._consumptions))
        await self._publisher.close()
