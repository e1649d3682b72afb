"""`list`, `replay` and `purge` for the dead-letter queues on RabbitMQ; they never show a body.

Letters are read without acknowledgement and requeued in their old order; until then other operators do not see them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from shared.messaging.amqp.calls import answered
from shared.messaging.amqp.death import described, for_replay
from shared.messaging.amqp.link import ANSWER_SECONDS, Broker, Link
from shared.messaging.amqp.messages import event_id as event_id_of
from shared.messaging.bus import BusUnavailable, DeadLetter
from shared.messaging.topology import SUBSCRIPTIONS, Subscription, returns_exchange, subscription

__all__ = ("DeadLetter", "list", "purge", "replay")

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
            async for message in box.take():
                if event_id in (None, event_id_of(message)):
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
            async for message in box.take():
                if event_id_of(message) == event_id:
                    await box.remove(message)
                    purged += 1
    return purged


def _subscriptions(queue: str | None) -> Sequence[Subscription]:
    return SUBSCRIPTIONS if queue is None else (subscription(queue.removesuffix(".dead")),)


@asynccontextmanager
async def _opened(url: str, source: Subscription) -> AsyncIterator[_Box]:
    """Requeue unsettled letters at the end of the block."""
    link = await Broker(url, "login2fa", heartbeat=10, connect_timeout=ANSWER_SECONDS).connect("dead letters")
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

    async def take(self) -> AsyncIterator[AbstractIncomingMessage]:
        """Take at most the present count: letters that die again during a replay would make it endless."""
        queue = await self._link.channel.get_queue(self._source.dead_queue, ensure=False)
        for _ in range(await self._count()):
            message = await answered(queue.get(fail=False, timeout=None), ANSWER_SECONDS)
            if message is None:
                return
            self._held += 1
            yield message

    async def remove(self, message: AbstractIncomingMessage) -> None:
        await answered(message.ack(), ANSWER_SECONDS)
        self._held -= 1

    async def replay(self, message: AbstractIncomingMessage) -> None:
        returns = returns_exchange(self._source.consumer)
        sent = self._link.publish(for_replay(message), exchange=returns, routing_key=self._source.queue, mandatory=True)
        await answered(sent, ANSWER_SECONDS)
        await self.remove(message)

    async def purge(self) -> int:
        if not await self._count():
            return 0
        underlying = await self._link.channel.get_underlay_channel()
        answer = await answered(underlying.queue_purge(self._source.dead_queue), ANSWER_SECONDS)
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
        underlying = await self._link.channel.get_underlay_channel()
        await underlying.basic_nack(0, multiple=True, requeue=True)  # 0: all unacknowledged

    async def _count(self) -> int:
        """Letters ready for delivery; 0 if the queue does not exist."""
        underlying = await self._link.channel.get_underlay_channel()
        try:
            answer = await answered(underlying.queue_declare(self._source.dead_queue, passive=True), ANSWER_SECONDS)
        except BusUnavailable as error:
            if isinstance(error.__cause__, ChannelNotFoundEntity):
                return 0
            raise
        return answer.message_count or 0
