"""The bus inside one process. The caller's outbox is its disk: `publish` returns once every subscriber has finished.

If a caller gives up earlier, the message goes on; the next `publish` of the event joins it or learns that it ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict, replace
from datetime import UTC, datetime

from shared.messaging.bus import BusUnavailable, DeadLetter, Delivery, Done, GiveUp, Handler, Message, Retry, Unroutable
from shared.messaging.handling import GIVEN_UP, log_given_up
from shared.messaging.memory_consumer import MemoryConsumption
from shared.messaging.topology import SUBSCRIPTIONS, Subscription, put_off_delay, retry_delay, subscription

MOST_DEAD_LETTERS = 1000
MOST_ENDED = 10_000

Key = tuple[str, str]


class MemoryBus:
    def __init__(self) -> None:
        self._in_flight: dict[Key, asyncio.Task[None]] = {}
        self._waiting: dict[Key, int] = {}
        # Ended after their publisher gave up; it will publish again. Bounded: the oldest go first.
        self._ended_unseen: dict[Key, None] = {}
        self._consumers: dict[str, list[MemoryConsumption]] = {each.queue: [] for each in SUBSCRIPTIONS}
        self._arrivals: dict[str, asyncio.Event] = {each.queue: asyncio.Event() for each in SUBSCRIPTIONS}
        self._dead_letters: deque[DeadLetter] = deque(maxlen=MOST_DEAD_LETTERS)
        self._closed = False

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The latest, oldest first. They are lost with the process; the log has them too."""
        return tuple(self._dead_letters)

    async def publish(self, message: Message) -> None:
        if self._closed:
            raise BusUnavailable("closed")
        wanted_by = [each for each in SUBSCRIPTIONS if message.routing_key in each.routing_keys]
        if not wanted_by:
            if message.mandatory:
                raise Unroutable("no subscription wants it")
            return
        key = (message.routing_key, message.event_id)
        if key in self._ended_unseen:
            del self._ended_unseen[key]
            return
        if key not in self._in_flight:
            task = asyncio.create_task(self._deliver_to_all(message, wanted_by))
            task.add_done_callback(lambda _: self._ended(key))
            self._in_flight[key] = task
        await self._wait_for(key)

    async def _wait_for(self, key: Key) -> None:
        task = self._in_flight[key]
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            await asyncio.wait({task})  # unlike `await task`, this does not cancel the task with its caller
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
        if task.cancelled():
            raise BusUnavailable("closed")
        task.result()

    def _ended(self, key: Key) -> None:
        task = self._in_flight.pop(key)
        if task.cancelled() or task.exception() or key in self._waiting:
            return
        self._ended_unseen[key] = None
        if len(self._ended_unseen) > MOST_ENDED:
            del self._ended_unseen[next(iter(self._ended_unseen))]

    async def _deliver_to_all(self, message: Message, wanted_by: list[Subscription]) -> None:
        async with asyncio.TaskGroup() as group:
            for each in wanted_by:
                group.create_task(self._deliver(message, each))

    async def _deliver(self, message: Message, to: Subscription) -> None:
        delivery = Delivery(**asdict(message), attempt=1)
        while True:
            outcome = None
            while outcome is None:  # None: this consumer was stopped, so the next one gets the message
                consumer = await self._consumer(to.queue)
                outcome = await consumer.handle(delivery)
            match outcome:
                case Done():
                    return
                case GiveUp(reason):
                    self._bury(delivery, to.queue, reason)
                    return
                case Retry(tried=True):
                    await asyncio.sleep(retry_delay(delivery.attempt))
                    delivery = replace(delivery, attempt=delivery.attempt + 1)
                case Retry():
                    await asyncio.sleep(put_off_delay(delivery.put_off))
                    delivery = replace(delivery, put_off=delivery.put_off + 1)

    async def _consumer(self, queue: str) -> MemoryConsumption:
        while not self._consumers[queue]:
            await self._arrivals[queue].wait()
        return min(self._consumers[queue], key=lambda each: each.load)

    def _bury(self, delivery: Delivery, queue: str, reason: str) -> None:
        letter = DeadLetter(
            queue=queue,
            event_id=delivery.event_id,
            event_type=delivery.routing_key,
            size=len(delivery.body),
            reason=reason,
            attempts=delivery.attempt,
            died_at=datetime.now(UTC),
        )
        self._dead_letters.append(letter)
        GIVEN_UP.labels(queue).inc()
        log_given_up(delivery, queue, reason)

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> MemoryConsumption:
        subscription(queue)
        consumption = MemoryConsumption(queue, handler, concurrency, self._leave)
        self._consumers[queue].append(consumption)
        self._arrivals[queue].set()
        return consumption

    def _leave(self, consumption: MemoryConsumption) -> None:
        consumers = self._consumers[consumption.queue]
        if consumption in consumers:
            consumers.remove(consumption)
        if not consumers:
            self._arrivals[consumption.queue].clear()

    async def close(self) -> None:
        self._closed = True
        for consumers in self._consumers.values():
            for each in tuple(consumers):
                await each.stop(0)
        deliveries = list(self._in_flight.values())
        for task in deliveries:
            task.cancel()
        await asyncio.gather(*deliveries, return_exceptions=True)
