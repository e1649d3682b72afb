"""A connection with one channel, replaced when lost: the library's "robust" one loops for ever if arguments differ."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import cast

from aio_pika import Connection
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from aiormq.exceptions import ChannelAccessRefused
from pamqp.commands import Queue
from yarl import URL

from shared.messaging.amqp.calls import answered, let_run
from shared.messaging.amqp.messages import Arrived, Outgoing
from shared.messaging.amqp.topology import compare, declare, look_for
from shared.messaging.bus import BusUnavailable, TopologyMismatch

ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 3.0  # without an answer to a question that needs no other node
CONSUME_SECONDS = 25.0  # while the queue's leader is frozen: until `net_ticktime` of docs/scaling.md is over
DECLARE_SECONDS = 20.0  # the first time, forty quorum queues elect their leaders
CLOSE_SECONDS = 3.0
RENEW_SECONDS = 3600.0  # clients spread again over nodes that were away
READY_SECONDS = 0.1  # ready is known at once, and is waited for otherwise


def keep_bodies_out_of_the_log() -> None:
    for name in ("aio_pika", "aiormq"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))  # at DEBUG they log every frame with its body
    logging.getLogger("aiormq.channel").addFilter(_without_bodies)  # safe to repeat


def _without_bodies(record: logging.LogRecord) -> bool:
    """The library logs a returned message whole, at ERROR, if its publisher has given up on it."""
    if record.args and not isinstance(record.args, Mapping):
        record.args = tuple(
            f"<message, {len(arg.body)} bytes>" if isinstance(arg, DeliveredMessage) else arg for arg in record.args
        )
    return True


class Link:
    def __init__(self, connection: Connection, url: URL) -> None:
        self._connection = connection
        self.url = url
        self._channel: AbstractChannel | None = None  # the library holds channels weakly
        self._consumer_tag: str | None = None
        self._patience: set[asyncio.Timeout] = set()
        self._renew_at = time.monotonic() + RENEW_SECONDS * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
        self.lost = asyncio.Event()  # set once, when connection, channel or consumer is gone

    @property
    def old(self) -> bool:
        return time.monotonic() > self._renew_at

    def keep(self) -> None:
        """No other could be had: it is old again later."""
        self._renew_at = time.monotonic() + RENEW_SECONDS / 10

    async def connect(self) -> None:
        """Raises the library's own errors."""
        await self._connection.connect()

    @property
    def channel(self) -> AbstractChannel:
        if self._channel is None or self.lost.is_set():
            raise BusUnavailable("connection lost")
        return self._channel

    async def declare(self) -> None:
        """Declare the topology, which the users of our services may not. Raises `BusError`, also `TopologyMismatch`."""
        await self._on_own_channel(declare, DECLARE_SECONDS)

    async def ensure(self, *, exchange: str, queue: str | None = None) -> None:
        """Check that both exist, else declare the topology. Raises `BusError`, also `TopologyMismatch`.

        Any node answers the check by itself. Never declare without it: a change of topology waits for every node of a
        cluster, and with one of them frozen it does not end.
        """
        try:
            await self._on_own_channel(partial(look_for, exchange=exchange, queue=queue), SILENCE_SECONDS)
        except BusUnavailable as error:
            if not isinstance(error.__cause__, ChannelNotFoundEntity):
                raise
            await self.declare()
        else:
            if queue is not None:
                await self._compare(queue)

    async def look(self, work: Callable[[AbstractChannel], Awaitable[None]]) -> None:
        """Run `work` on a channel of its own, which a refusal closes. Raises `BusError`."""
        await self._on_own_channel(work, ANSWER_SECONDS)

    async def _compare(self, queue: str) -> None:
        try:
            await self._on_own_channel(partial(compare, queue=queue), ANSWER_SECONDS)
        except TopologyMismatch as mismatch:
            # This user may not declare, so the broker does not compare: the operator declared the queue.
            if not isinstance(mismatch.__cause__, ChannelAccessRefused):
                raise

    async def _on_own_channel(self, work: Callable[[AbstractChannel], Awaitable[None]], within: float) -> None:
        # A refusal closes the channel, and would fail all messages in flight on the shared one.
        async def on_own_channel() -> None:
            async with self._connection.channel() as channel:
                await work(channel)

        await answered(on_own_channel(), within)

    async def open_channel(self) -> None:
        """With confirms, and with an error for each unroutable message: else it vanishes as if delivered."""
        channel = self._connection.channel(publisher_confirms=True, on_return_raises=True)
        self._channel = channel
        channel.close_callbacks.add(lambda *_: self.lost.set())
        await answered(channel.initialize(), ANSWER_SECONDS)

    async def publish(self, message: Outgoing, *, exchange: str, routing_key: str, mandatory: bool) -> None:
        """Return once it is confirmed. Raises the library's own errors, and `BusUnavailable` for an abandoned link."""
        channel = await self.underlying()
        try:
            async with asyncio.timeout(None) as patience:
                self._patience.add(patience)
                await channel.basic_publish(
                    message.body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=message.properties,
                    mandatory=mandatory,
                    # Else each message is written only after the bytes of the one before have left.
                    wait=False,
                )
        except TimeoutError:
            raise BusUnavailable("connection lost") from None
        finally:
            self._patience.discard(patience)

    async def acknowledge(self, message: Arrived) -> None:
        """Does not wait, because an ack has no answer. Raises the library's own errors."""
        assert message.delivery_tag is not None  # noqa: S101 - it was delivered
        channel = await self.underlying()
        await channel.basic_ack(message.delivery_tag, wait=False)

    async def underlying(self) -> Channel:
        """Cast, because the library's own type has no `wait`."""
        return cast("Channel", await self.channel.get_underlay_channel())

    async def consume(self, queue: str, callback: Callable[[Arrived], Awaitable[None]], prefetch: int) -> None:
        async def arrived(delivered: DeliveredMessage) -> None:
            await callback(Arrived.of(delivered))

        async def start() -> str | None:
            await self.channel.set_qos(prefetch_count=prefetch)
            # The broker cancels a consumer whose queue is deleted; connection and channel stay open.
            underlying = await self.underlying()
            underlying.on_consumer_cancel_callbacks.add(lambda _: self.lost.set())
            return (await underlying.basic_consume(queue, arrived)).consumer_tag

        self._consumer_tag = await answered(start(), CONSUME_SECONDS)

    async def counts(self, queue: str) -> Queue.DeclareOk:
        """The consumers and the ready messages of a queue. Raises `BusError`, also if there is no such queue."""

        async def declare_passively() -> Queue.DeclareOk:
            return await (await self.underlying()).queue_declare(queue, passive=True)

        return await answered(declare_passively(), ANSWER_SECONDS)

    async def stop_deliveries(self, queue: str) -> None:
        """Stop new messages; those already received can still be acknowledged."""

        async def cancel() -> None:
            if self._consumer_tag is not None:
                source = await self.channel.get_queue(queue, ensure=False)
                await source.cancel(self._consumer_tag)

        await answered(cancel(), ANSWER_SECONDS)

    async def blocked(self) -> bool:
        """Whether the broker has an alarm: it reads nothing more of this connection, and will read it later."""
        if (transport := self._connection.transport) is None:
            return False
        try:
            async with asyncio.timeout(READY_SECONDS):
                await transport.connection.ready()
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        """Never fails, and takes at most `CLOSE_SECONDS`: a frozen broker does not answer."""
        await asyncio.wait({self.abandon()}, timeout=CLOSE_SECONDS)

    def abandon(self) -> asyncio.Task[None]:
        """Close, but do not wait for it: the library lets a silent broker have seconds. Publishes fail at once."""
        self.lost.set()
        while self._patience:
            self._patience.pop().reschedule(0)
        return let_run(asyncio.create_task(self._connection.close()))
