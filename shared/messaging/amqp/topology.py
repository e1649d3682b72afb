"""Declares and checks the exchanges and queues of `topology` on RabbitMQ 3.10 to 4.x.

The arguments of a queue are fixed: after an edit here it needs a new name, else declaring fails (`TopologyMismatch`).
Services have no permission to declare: it includes the choice of the dead-letter target, to which the broker moves
messages without a check of the topic permissions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused
from pamqp.common import FieldTable

from shared.messaging.bus import TopologyMismatch
from shared.messaging.topology import (
    PROCESSES,
    RETRY_DELAYS,
    SUBSCRIPTIONS,
    Subscription,
    events_exchange,
    process_of,
    returns_exchange,
)

# A message that kills its consumer (out of memory) never reaches our own count of attempts.
DELIVERY_LIMIT = 20

# Each listing of dead letters counts as a delivery; RabbitMQ 4 would destroy them after 20. 3.10 knows no "none".
UNLIMITED = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Binding:
    exchange: str
    queue: str
    routing_key: str


def exchanges() -> list[str]:
    """All are topic exchanges: only these have permissions by routing key."""
    return [exchange(process) for process in PROCESSES for exchange in (events_exchange, returns_exchange)]


def queues() -> dict[str, FieldTable]:
    """Their arguments, by name. Dead-letter targets come first: a queue without its target could lose messages."""
    found: dict[str, FieldTable] = {}
    for each in SUBSCRIPTIONS:
        found[each.dead_queue] = {"x-delivery-limit": UNLIMITED}
        found[each.queue] = {"x-delivery-limit": DELIVERY_LIMIT, **_end_of_waiting(each)}
        # One queue per delay: RabbitMQ expires a per-message TTL only at the head of the queue.
        for delay in RETRY_DELAYS:
            found[each.retry_queue(delay)] = {"x-message-ttl": delay * 1000, **_dead_letters_to(each.queue)}
    return {name: {"x-queue-type": "quorum", **arguments} for name, arguments in found.items()}


def bindings() -> Iterator[Binding]:
    for each in SUBSCRIPTIONS:
        for key in each.routing_keys:
            yield Binding(events_exchange(process_of(key)), each.queue, key)
        for queue in (each.queue, each.dead_queue, *each.retry_queues):
            yield Binding(returns_exchange(each.consumer), queue, queue)


def _end_of_waiting(subscription: Subscription) -> FieldTable:
    if subscription.lifetime is not None:  # an outdated message is dropped, not dead-lettered
        return {"x-message-ttl": subscription.lifetime * 1000}
    return _dead_letters_to(subscription.dead_queue)


def _dead_letters_to(queue: str) -> FieldTable:
    return {
        # The default exchange: the broker itself moves the message and needs no permission.
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        # The default loses a message if the leader dies. This one is silently ignored without reject-publish.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


async def declare(channel: AbstractChannel) -> None:
    """Safe to repeat, also concurrently. Raises `TopologyMismatch` (arguments, permission) and closes `channel`."""
    try:
        made = {name: await channel.declare_exchange(name, "topic", durable=True) for name in exchanges()}
        for name, arguments in queues().items():
            await channel.declare_queue(name, durable=True, arguments=arguments)
        for binding in bindings():
            queue = await channel.get_queue(binding.queue, ensure=False)
            await queue.bind(made[binding.exchange], binding.routing_key)
    except ChannelPreconditionFailed as error:
        raise TopologyMismatch(str(error)) from error
    except ChannelAccessRefused as error:
        raise TopologyMismatch(
            f"exchanges, queues or bindings are missing, and this user may not declare them ({error});"
            " load the definitions that `login2fa broker-users` writes, or run `login2fa topology`"
        ) from error


async def compare(channel: AbstractChannel, queue: str) -> None:
    """Raises `TopologyMismatch` for other arguments, `ChannelAccessRefused` without permission; it closes `channel`."""
    try:
        await channel.declare_queue(queue, durable=True, arguments=queues()[queue])
    except ChannelPreconditionFailed as error:
        raise TopologyMismatch(str(error)) from error


async def look_for(channel: AbstractChannel, *, exchange: str, queue: str | None = None) -> None:
    """Raises the library's `ChannelNotFoundEntity` if one of the two is missing; this closes `channel`."""
    await channel.get_exchange(exchange, ensure=True)
    if queue is not None:
        await channel.get_queue(queue, ensure=True)
