"""An operator's view of the dead-letter queues on RabbitMQ: `list`, `replay`, `purge`.

Nothing here shows a body. What is looked at is taken without acknowledgement and goes back, in its old order,
at the end; meanwhile (about a millisecond per letter) a second operator does not see it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from shared.broker.amqp.calls import answered
from shared.broker.amqp.death import described, for_replay
from shared.broker.amqp.link import ANSWER_SECONDS, Broker, Link
from shared.broker.amqp.messages import event_id as event_id_of
from shared.broker.bus import BusUnavailable, DeadLetter
from shared.broker.topology import SUBSCRIPTIONS, Subscription, subscription

__all__ = ("DeadLetter", "list", "purge", "replay")

Letters = Sequence[DeadLetter]


async def list(url: str, queue: str | None = None, *, limit: int = 1000) -> Letters:  # noqa: A001 - read as dead_letters.list
    """The oldest `limit` letters of each subscription, or of the one whose work queue is `queue`; all stay.

    Raises:
        LookupError: no subscription has this queue.
        BusUnavailable: no broker.
    """
    letters: Letters = []
    for each in _subscriptions(queue):
        async with _link(url) as link:
            # To the end, whatever the limit: the broker puts what was taken behind what was not.
            found = [described(message, each.queue) async for message in _take(link, each)]
        letters = [*letters, *found[:limit]]
    return letters


async def replay(url: str, queue: str | None = None, *, event_id: str | None = None) -> int:
    """Put letters (all, or those of one event) back into their work queue as a first attempt; how many.

    Each is confirmed there before it leaves here, so a failure in between doubles one letter and loses none.

    Raises:
        LookupError: no subscription has this queue.
        BusError: the broker is away, or did not take a letter; it and the following ones stay.
    """
    replayed = 0
    for each in _subscriptions(queue):
        async with _link(url) as link:
            async for message in _take(link, each):
                if event_id in (None, event_id_of(message)):
                    await _replay(link, message, each)
                    replayed += 1
    return replayed


async def purge(url: str, queue: str | None = None, *, event_id: str | None = None) -> int:
    """Destroy letters (all, or those of one event); how many.

    Raises:
        LookupError: no subscription has this queue.
        BusUnavailable: no broker.
    """
    purged = 0
    for each in _subscriptions(queue):
        async with _link(url) as link:
            if event_id is None:
                purged += await _purge_all(link, each)
                continue
            async for message in _take(link, each):
                if event_id_of(message) == event_id:
                    await answered(message.ack(), ANSWER_SECONDS)
                    purged += 1
    return purged


def _subscriptions(queue: str | None) -> Sequence[Subscription]:
    return SUBSCRIPTIONS if queue is None else (subscription(queue.removesuffix(".dead")),)


@asynccontextmanager
async def _link(url: str) -> AsyncIterator[Link]:
    """One per queue. What was taken from it and not acknowledged goes back at the end."""
    link = await Broker(url, "login2fa", heartbeat=10, connect_timeout=ANSWER_SECONDS).connect("dead letters")
    try:
        await link.open_channel()
        yield link
        if not link.lost.is_set():
            # Closing alone does it too, but some time later: the next listing would begin in the middle.
            await answered(_put_back(link), ANSWER_SECONDS)
    finally:
        await link.close()


async def _put_back(link: Link) -> None:
    underlying = await link.channel.get_underlay_channel()
    await underlying.basic_nack(0, multiple=True, requeue=True)  # 0: all that is not acknowledged


async def _take(link: Link, source: Subscription) -> AsyncIterator[AbstractIncomingMessage]:
    """As many as there are now: letters that die again while we replay must not keep us here."""
    queue = await link.channel.get_queue(source.dead_queue, ensure=False)
    for _ in range(await _count(link, source.dead_queue)):
        message = await answered(queue.get(fail=False, timeout=None), ANSWER_SECONDS)
        if message is None:
            return
        yield message


async def _purge_all(link: Link, source: Subscription) -> int:
    if not await _count(link, source.dead_queue):
        return 0
    underlying = await link.channel.get_underlay_channel()
    answer = await answered(underlying.queue_purge(source.dead_queue), ANSWER_SECONDS)
    return answer.message_count or 0


async def _count(link: Link, queue: str) -> int:
    underlying = await link.channel.get_underlay_channel()
    try:
        answer = await answered(underlying.queue_declare(queue, passive=True), ANSWER_SECONDS)
    except BusUnavailable as error:
        if isinstance(error.__cause__, ChannelNotFoundEntity):
            return 0  # no service has ever run against this broker
        raise
    return answer.message_count or 0


async def _replay(link: Link, message: AbstractIncomingMessage, to: Subscription) -> None:
    publish = link.channel.default_exchange.publish(for_replay(message), to.queue, mandatory=True)
    await answered(publish, ANSWER_SECONDS)
    await answered(message.ack(), ANSWER_SECONDS)
