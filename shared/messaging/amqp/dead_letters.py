"""`list`, `replay` and `purge` for the dead-letter queues on RabbitMQ; they never show a body.

Letters are read without acknowledgement and requeued in their old order; until then other operators do not see them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from aio_pika.exceptions import ChannelNotFoundEntity
from pamqp.common import FieldTable

from shared.messaging.amqp import messages
from shared.messaging.amqp.broker import Broker
from shared.messaging.amqp.calls import answered
from shared.messaging.amqp.link import ANSWER_SECONDS, Link
from shared.messaging.amqp.messages import Arrived
from shared.messaging.bus import BusUnavailable, DeadLetter
from shared.messaging.topology import SUBSCRIPTIONS, Subscription, returns_exchange, subscription

__all__ = ("DeadLetter", "described", "list", "purge", "replay")

Letters = Sequence[DeadLetter]

PUT_BACK_SECONDS = 2.0  # usually milliseconds; all of it if another operator took letters meanwhile
PUT_BACK_STEP = 0.01


async def list(url: str, queue: str | None = None, *, limit: int = 1000) -> Letters:  # noqa: A001 - read as dead_letters.list
    """The oldest `limit` letters of each queue, or of `queue`; all stay. Raises `LookupError`, `BusUnavailable`."""
    letters: Letters = []
    for each in _subscriptions(queue):
        async with _opened(url, each) as box:
            # Read all, whatever the limit: the broker requeues these letters behind those not read.
            found = [described(message, each.queue) async for message in box.take()]
        letters = [*letters, *found[:limit]]
    return letters


async def replay(url: str, queue: str | None = None, *, event_id: str | None = None) -> int:
    """Move letters (all, or those of one event) back to their work queue as a first attempt; return how many.

    A failure in between doubles one letter and loses none. Raises `LookupError`, and `BusError` if the broker is away
    or refuses a letter: this letter and the next ones stay.
    """
    replayed = 0
    for each in _subscriptions(queue):
        async with _opened(url, each) as box:
            async for message in box.take(event_id):
                await box.replay(message)
                replayed += 1
    return replayed


async def purge(url: str, queue: str | None = None, *, event_id: str | None = None) -> int:
    """Destroy letters (all, or those of one event); return how many. Raises `LookupError`, `BusUnavailable`."""
    purged = 0
    for each in _subscriptions(queue):
        async with _opened(url, each) as box:
            if event_id is None:
                purged += await box.purge()
                continue
            async for message in box.take(event_id):
                await box.remove(message)
                purged += 1
    return purged


def _subscriptions(queue: str | None) -> Sequence[Subscription]:
    return SUBSCRIPTIONS if queue is None else (subscription(queue.removesuffix(".dead")),)


@asynccontextmanager
async def _opened(url: str, source: Subscription) -> AsyncIterator[_Box]:
    """Requeue unsettled letters at the end of the block."""
    link = await Broker(url).connect("dead letters")
    try:
        await link.open_channel()
        box = _Box(link, source)
        yield box
        if not link.lost.is_set():
            # The close requeues them too, but later: the next listing would begin in the middle.
            await box.put_back()
    finally:
        await link.close()


class _Box:
    """The dead-letter queue of one subscription."""

    def __init__(self, link: Link, source: Subscription) -> None:
        self._link = link
        self._source = source
        self._held = 0

    async def take(self, event_id: str | None = None) -> AsyncIterator[Arrived]:
        """Take at most the present count: letters that die again during a replay would make it endless."""
        channel = await self._link.underlying()
        for _ in range(await self._count()):
            delivered = await answered(channel.basic_get(self._source.dead_queue), ANSWER_SECONDS)
            if delivered.delivery_tag is None:  # the queue is empty
                return
            self._held += 1
            message = Arrived.of(delivered)
            if event_id in (None, messages.event_id(message)):
                yield message

    async def remove(self, message: Arrived) -> None:
        await answered(self._link.acknowledge(message), ANSWER_SECONDS)
        self._held -= 1

    async def replay(self, message: Arrived) -> None:
        # A first attempt again; the header keeps it from counting as fresh. Its MAC stays valid.
        copy = messages.outgoing(messages.received(message), headers={messages.REPLAYED: True})
        returns = returns_exchange(self._source.consumer)
        sent = self._link.publish(copy, exchange=returns, routing_key=self._source.queue, mandatory=True)
        await answered(sent, ANSWER_SECONDS)
        await self.remove(message)

    async def purge(self) -> int:
        if not await self._count():
            return 0
        channel = await self._link.underlying()
        answer = await answered(channel.queue_purge(self._source.dead_queue), ANSWER_SECONDS)
        return answer.message_count or 0

    async def put_back(self) -> None:
        if not self._held:
            return
        await answered(self._refuse_all(), ANSWER_SECONDS)
        # A nack has no answer, and the quorum queue looks empty until the nack is on disk.
        deadline = time.monotonic() + PUT_BACK_SECONDS
        while await self._count() < self._held and time.monotonic() < deadline:  # noqa: ASYNC110 - the broker sends no notification
            await asyncio.sleep(PUT_BACK_STEP)

    async def _refuse_all(self) -> None:
        channel = await self._link.underlying()
        await channel.basic_nack(0, multiple=True, requeue=True)  # 0: all unacknowledged

    async def _count(self) -> int:
        """Letters ready for delivery; 0 if the queue does not exist."""
        try:
            return (await self._link.counts(self._source.dead_queue)).message_count or 0
        except BusUnavailable as error:
            if isinstance(error.__cause__, ChannelNotFoundEntity):
                return 0
            raise


def described(message: Arrived, queue: str) -> DeadLetter:
    headers = message.headers
    if messages.DIED_AT in headers:
        reason, died_at = headers.get(messages.REASON), messages.moment(headers[messages.DIED_AT])
    else:  # the broker itself moved it
        latest: FieldTable = next(iter(messages.broker_deaths(message)), {})
        time_of_death = latest.get("time")
        reason, died_at = latest.get("reason"), time_of_death if isinstance(time_of_death, datetime) else None
    return DeadLetter(
        queue=queue,
        event_id=messages.event_id(message),
        event_type=messages.event_type(message),
        size=len(message.body),
        reason=messages.text(reason) or "unknown",
        attempts=messages.number(headers.get(messages.ATTEMPTS)) or messages.number(headers.get(messages.ATTEMPT)),
        died_at=died_at,
    )
