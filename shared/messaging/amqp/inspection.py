"""Looks at exchanges and queues, and changes nothing: for `login2fa doctor`. Any user of the broker may (0013)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity

from shared.messaging.amqp.broker import Broker
from shared.messaging.amqp.link import Link
from shared.messaging.bus import BusUnavailable


@dataclass(frozen=True, slots=True)
class Counts:
    consumers: int
    messages: int


@dataclass(slots=True)
class Inspected:
    """Names that are `missing`, and the counts of the queues that are there."""

    missing: list[str] = field(default_factory=list)
    queues: dict[str, Counts] = field(default_factory=dict)


async def inspect(url: str, *, exchanges: Iterable[str], queues: Iterable[str]) -> Inspected:
    """Raises `BusError`."""
    link = await Broker(url, name="login2fa doctor").connect("look")
    found = Inspected()
    try:
        looks = [_exchange(link, each, found) for each in exchanges]
        await asyncio.gather(*looks, *(_queue(link, each, found) for each in queues))
    finally:
        await link.close()
    found.missing.sort()
    return found


async def _exchange(link: Link, name: str, found: Inspected) -> None:
    async def look(channel: AbstractChannel) -> None:
        await channel.get_exchange(name, ensure=True)

    await _unless_missing(link, name, found, look)


async def _queue(link: Link, name: str, found: Inspected) -> None:
    async def look(channel: AbstractChannel) -> None:
        counted = (await channel.get_queue(name, ensure=True)).declaration_result
        found.queues[name] = Counts(counted.consumer_count or 0, counted.message_count or 0)

    await _unless_missing(link, name, found, look)


async def _unless_missing(
    link: Link, name: str, found: Inspected, look: Callable[[AbstractChannel], Awaitable[None]]
) -> None:
    try:
        await link.look(look)
    except BusUnavailable as error:
        if not isinstance(error.__cause__, ChannelNotFoundEntity):
            raise
        found.missing.append(name)
