"""Stands where aio-pika's Connection stands, as far as shared/messaging/amqp uses it, before a MemoryRabbitMQ."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self

from aio_pika import Message as AmqpMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from pamqp.commands import Basic

from tests.model.broker import Consumer, MemoryRabbitMQ, Queue, Stored

Properties = Basic.Properties
Receive = Callable[[SimpleNamespace], Coroutine[Any, Any, None]]


class ConnectionGone(ConnectionError):
    pass


class Incoming:
    """A message as a consumer gets it."""

    def __init__(self, stored: Stored, queue: str, consumer: Consumer, connection: MemoryConnection) -> None:
        self._queue, self._consumer, self._connection = queue, consumer, connection
        self.stored = stored
        self.body, self.headers = stored.message.body, stored.headers
        self.exchange, self.routing_key = stored.exchange, stored.routing_key
        self.redelivered = stored.redelivered
        self.type, self.timestamp = stored.message.type, stored.message.timestamp
        self.message_id, self.correlation_id = stored.message.message_id, stored.message.correlation_id

    @property
    def queue(self) -> str:
        return self._queue

    @property
    def delivered(self) -> SimpleNamespace:
        """As it comes over the wire; its tag is whatever names it on its channel."""
        properties = SimpleNamespace(
            headers=self.headers,
            message_type=self.type,
            message_id=self.message_id,
            correlation_id=self.correlation_id,
        )
        return SimpleNamespace(
            header=SimpleNamespace(properties=properties),
            body=self.body,
            exchange=self.exchange,
            routing_key=self.routing_key,
            redelivered=self.redelivered,
            delivery_tag=self,
        )

    async def ack(self) -> None:
        self._connection.check()
        self._connection.unacknowledged.remove(self)
        self._connection.broker.acknowledged(self._queue, self._consumer)


class MemoryConnection:
    transport = None  # never blocked: a broker out of memory is for tests on a real one

    def __init__(self, broker: MemoryRabbitMQ, *, reachable: Callable[[], bool]) -> None:
        self.broker = broker
        self.unacknowledged: list[Incoming] = []
        self.channels: list[Channel] = []
        self._reachable = reachable
        self._open = False

    async def connect(self) -> None:
        if not (self.broker.up and self._reachable()):
            raise ConnectionGone("refused")
        self._open = True

    def check(self) -> None:
        if not self._open:
            raise ConnectionGone("lost")

    def channel(self, **_: Any) -> Channel:
        self.channels.append(Channel(self))
        return self.channels[-1]

    async def close(self) -> None:
        self.lose()

    def lose(self) -> list[Incoming]:
        """Gone, whoever ended it; what was unacknowledged goes to somebody else."""
        if not self._open:
            return []
        self._open = False
        self.broker.unsubscribe(self)
        returned, self.unacknowledged = self.unacknowledged, []
        for each in returned:
            self.broker.taken_back(each.queue, [each.stored])
        for one in self.broker.unconfirmed:
            if one.owner is self and not one.answer.done():
                one.answer.set_exception(ConnectionGone("lost"))
        for channel in self.channels:
            channel.close()
        return returned


class Channel:
    def __init__(self, connection: MemoryConnection) -> None:
        self.connection = connection
        self.close_callbacks: set[Callable[..., None]] = set()
        self.prefetch = 0

    async def __aenter__(self) -> Self:
        self.connection.check()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for callback in tuple(self.close_callbacks):
            callback(self, None)

    async def initialize(self) -> None:
        self.connection.check()

    async def set_qos(self, *, prefetch_count: int) -> None:
        self.connection.check()
        self.prefetch = prefetch_count

    async def get_underlay_channel(self) -> SimpleNamespace:
        return SimpleNamespace(
            on_consumer_cancel_callbacks=set(),
            queue_declare=self._count,
            basic_publish=self._publish,
            basic_ack=self._ack,
            basic_consume=self._consume,
        )

    async def _consume(self, queue: str, receive: Receive) -> SimpleNamespace:
        self.connection.check()
        context = copy_context()  # of the process that consumes: its handlers die with it

        def hand_over(stored: Stored) -> None:
            incoming = Incoming(stored, queue, consumer, self.connection)
            self.connection.unacknowledged.append(incoming)
            self.connection.broker.loop.create_task(receive(incoming.delivered), context=context.copy())

        consumer = Consumer(self.connection, self.prefetch, hand_over)
        self.connection.broker.subscribe(queue, consumer)
        return SimpleNamespace(consumer_tag="consumer")

    async def _ack(self, delivery_tag: Incoming, *, wait: bool) -> None:
        assert not wait
        await delivery_tag.ack()

    async def _count(self, name: str, *, passive: bool) -> SimpleNamespace:
        self.connection.check()
        assert passive
        return SimpleNamespace(consumer_count=len(self.connection.broker.queues[name].consumers))

    async def _publish(
        self, body: bytes, *, exchange: str, routing_key: str, properties: Properties, mandatory: bool, wait: bool
    ) -> None:
        self.connection.check()
        assert mandatory
        assert not wait
        await self.connection.broker.publish(self.connection, Stored(_message(body, properties), exchange, routing_key))

    async def declare_exchange(self, name: str, *_: object, **__: object) -> Exchange:
        self.connection.check()
        self.connection.broker.exchanges.add(name)
        return Exchange(name)

    async def get_exchange(self, name: str, *, ensure: bool) -> Exchange:
        self.connection.check()
        if ensure and name not in self.connection.broker.exchanges:
            raise ChannelNotFoundEntity(name)
        return Exchange(name)

    async def get_queue(self, name: str, *, ensure: bool) -> QueueOfChannel:
        self.connection.check()
        if ensure and name not in self.connection.broker.queues:
            raise ChannelNotFoundEntity(name)
        return QueueOfChannel(name, self)

    async def declare_queue(self, name: str, *, durable: bool, arguments: dict[str, Any]) -> QueueOfChannel:
        self.connection.check()
        assert durable
        self.connection.broker.queues.setdefault(name, Queue(name, arguments))
        return QueueOfChannel(name, self)


@dataclass(frozen=True, slots=True)
class Exchange:
    name: str


def _message(body: bytes, properties: Properties) -> AmqpMessage:
    return AmqpMessage(
        body,
        headers=properties.headers,
        message_id=properties.message_id,
        correlation_id=properties.correlation_id,
        type=properties.message_type,
        timestamp=properties.timestamp,
    )


class QueueOfChannel:
    def __init__(self, name: str, channel: Channel) -> None:
        self._name, self._channel = name, channel

    async def bind(self, exchange: Exchange, routing_key: str) -> None:
        self._channel.connection.broker.bindings.add((exchange.name, routing_key, self._name))

    async def cancel(self, _: str) -> None:
        self._channel.connection.check()
        self._channel.connection.broker.unsubscribe(self._channel.connection)
