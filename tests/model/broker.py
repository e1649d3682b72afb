"""A RabbitMQ in memory, as far as our code asks it: queues obey the arguments that the real topology declares.

It is durable, confirms what it is told to (`faults.Publish`), hands back what a lost connection left unacknowledged,
and moves what has waited its time in a queue with a time-to-live. It loses what the topology lets it lose: a message
without a queue, and an expired one without a place to go. `connections` holds what our side of the wire sees.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aio_pika import Message as AmqpMessage
from aio_pika.abc import HeadersType
from aio_pika.exceptions import DeliveryError, PublishError

from shared.messaging.amqp.messages import EVENT_ID
from shared.messaging.topology import EVENTS_EXCHANGES, OTP_DELIVERY
from tests.model.simulated_time import SimulatedLoop

MILLISECONDS = 1000

# The library's errors carry what they are about; nobody looks.
_NO_MESSAGE: Any = None
_NO_FRAME: Any = None


@dataclass(eq=False, slots=True)
class Stored:
    """A message in a queue, with what its receiver is told."""

    message: AmqpMessage
    exchange: str
    routing_key: str
    redelivered: bool = False

    @property
    def headers(self) -> HeadersType:
        return self.message.headers

    @property
    def event_id(self) -> str:
        return str(self.headers[EVENT_ID])


@dataclass(eq=False, slots=True)
class Consumer:
    """`owner` is the connection; `free` how many messages more it may hold unacknowledged."""

    owner: object
    free: int
    hand_over: Callable[[Stored], None]


@dataclass(eq=False, slots=True)
class Queue:
    name: str
    arguments: Mapping[str, Any]
    waiting: deque[Stored] = field(default_factory=deque)
    consumers: list[Consumer] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Unconfirmed:
    """A publish that the broker has not answered; its publisher may have lost patience (`answer.cancelled()`)."""

    owner: object
    stored: Stored
    answer: asyncio.Future[None]
    begun_at: float


class MemoryRabbitMQ:
    def __init__(self, loop: SimulatedLoop) -> None:
        self.loop = loop
        self.up = True
        self.queues: dict[str, Queue] = {}
        self.exchanges: set[str] = set()
        self.bindings: set[tuple[str, str, str]] = set()
        self.unconfirmed: list[Unconfirmed] = []
        self.slowest_publish = 0.0

    # What a client does

    def publish(self, owner: object, stored: Stored) -> asyncio.Future[None]:
        """Those of the path of the codes wait for a decision; reports and the like are confirmed at once."""
        answer: asyncio.Future[None] = self.loop.create_future()
        one = Unconfirmed(owner, stored, answer, self.loop.time())
        if stored.exchange in EVENTS_EXCHANGES and stored.routing_key not in OTP_DELIVERY.routing_keys:
            self.confirm(one)
        else:
            self.unconfirmed.append(one)
        return answer

    def subscribe(self, queue: str, consumer: Consumer) -> None:
        self.queues[queue].consumers.append(consumer)
        self._dispatch(self.queues[queue])

    def unsubscribe(self, owner: object) -> None:
        for queue in self.queues.values():
            queue.consumers = [each for each in queue.consumers if each.owner is not owner]

    def acknowledged(self, queue: str, consumer: Consumer) -> None:
        consumer.free += 1
        self._dispatch(self.queues[queue])

    def taken_back(self, queue: str, messages: list[Stored]) -> None:
        for each in reversed(messages):
            each.redelivered = True
            self.queues[queue].waiting.appendleft(each)
        self._dispatch(self.queues[queue])

    # What a rule decides

    def confirm(self, one: Unconfirmed, *, heard: bool = True) -> bool:
        """Store it; whether the publisher hears of that (it may have gone, or have lost patience)."""
        self.slowest_publish = max(self.slowest_publish, self.loop.time() - one.begun_at)
        stored = self._route(one.stored)
        heard = heard and not one.answer.done()
        if heard and stored:
            one.answer.set_result(None)
        elif heard:
            one.answer.set_exception(PublishError(_NO_MESSAGE, _NO_FRAME))
        return heard

    @staticmethod
    def refuse(one: Unconfirmed) -> None:
        if not one.answer.done():
            one.answer.set_exception(DeliveryError(None, _NO_FRAME))

    # What it does by itself

    def _route(self, stored: Stored) -> bool:
        if stored.exchange:
            names = [
                queue
                for exchange, key, queue in sorted(self.bindings)
                if (exchange, key) == (stored.exchange, stored.routing_key)
            ]
        else:
            names = [stored.routing_key]
        queues = [self.queues[name] for name in names if name in self.queues]
        for queue in queues:
            self._enqueue(queue, stored)
        return bool(queues)

    def _enqueue(self, queue: Queue, stored: Stored) -> None:
        queue.waiting.append(stored)
        if ttl := queue.arguments.get("x-message-ttl"):
            self.loop.call_later(ttl / MILLISECONDS, self._expire, queue, stored)
        self._dispatch(queue)

    def _expire(self, queue: Queue, stored: Stored) -> None:
        queue.waiting.remove(stored)
        exchange = queue.arguments.get("x-dead-letter-exchange")
        if exchange is not None:  # otherwise it has been lost
            routing_key = queue.arguments.get("x-dead-letter-routing-key", stored.routing_key)
            self._route(Stored(stored.message, exchange, routing_key))

    @staticmethod
    def _dispatch(queue: Queue) -> None:
        while queue.waiting and (free := [each for each in queue.consumers if each.free]):
            consumer = free[0]
            queue.consumers.append(queue.consumers.pop(queue.consumers.index(consumer)))  # in turn
            consumer.free -= 1
            consumer.hand_over(queue.waiting.popleft())
