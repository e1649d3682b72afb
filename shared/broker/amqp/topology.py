"""Declares on a broker what `topology` describes. RabbitMQ 3.10 to 4.x.

Arguments of an existing queue can't be changed: whoever edits a table here gives the queue a new name
(`topology`), or every process of the new version refuses to start with `TopologyMismatch`.
"""

from __future__ import annotations

from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue
from aio_pika.exceptions import ChannelPreconditionFailed
from pamqp.common import FieldTable

from shared.broker.bus import TopologyMismatch
from shared.broker.topology import EXCHANGE, RETRY_DELAYS, SUBSCRIPTIONS, Subscription

# A message that takes its consumer down with it (out of memory) never reaches our own count of attempts.
DELIVERY_LIMIT = 20

# Reading a dead queue without removing anything counts as a delivery. RabbitMQ 4 gives every quorum queue a
# limit of 20 unless told otherwise: the twenty-first listing would destroy the letters. 3.10 knows no "none".
UNLIMITED = 1_000_000_000


async def declare(channel: AbstractChannel) -> None:
    """Declare everything. Safe to repeat, and to run in many processes at once.

    Raises:
        TopologyMismatch: something of that name exists with other arguments; `channel` is closed then.
    """
    try:
        exchange = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
        for subscription in SUBSCRIPTIONS:
            await _declare_subscription(channel, exchange, subscription)
    except ChannelPreconditionFailed as error:
        raise TopologyMismatch(str(error)) from error


async def _declare_subscription(
    channel: AbstractChannel, exchange: AbstractExchange, subscription: Subscription
) -> None:
    # First what the others dead-letter into: a queue that exists is a queue that can already lose messages.
    await _quorum_queue(channel, subscription.dead_queue, {"x-delivery-limit": UNLIMITED})
    work = {"x-delivery-limit": DELIVERY_LIMIT, **_end_of_what_waits(subscription)}
    queue = await _quorum_queue(channel, subscription.queue, work)
    for delay in RETRY_DELAYS:
        # One queue per delay: a time-to-live per message expires only at the head of the queue.
        wait = {"x-message-ttl": delay * 1000, **_dead_letters_to(subscription.queue)}
        await _quorum_queue(channel, subscription.retry_queue(delay), wait)
    for routing_key in subscription.routing_keys:
        await queue.bind(exchange, routing_key)


def _end_of_what_waits(subscription: Subscription) -> FieldTable:
    if subscription.lifetime is not None:  # what is no longer true is no dead letter
        return {"x-message-ttl": subscription.lifetime * 1000}
    return _dead_letters_to(subscription.dead_queue)


def _dead_letters_to(queue: str) -> FieldTable:
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        # The default strategy is at-most-once: a leader that dies in between loses the message. This one
        # is silently ignored without reject-publish.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


async def _quorum_queue(channel: AbstractChannel, name: str, arguments: FieldTable) -> AbstractQueue:
    return await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum", **arguments})
