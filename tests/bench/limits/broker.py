"""The bare use of RabbitMQ: a quorum queue, persistent messages, confirms; aio-pika and nothing of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

IN_FLIGHT = 100


@asynccontextmanager
async def channel(url: str) -> AsyncIterator[AbstractChannel]:
    """With confirms."""
    async with await aio_pika.connect(url) as connection:
        yield await connection.channel()


async def declare(opened: AbstractChannel, queue: str) -> None:
    await opened.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})


async def publish(opened: AbstractChannel, queue: str, body: bytes) -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await opened.default_exchange.publish(message, queue, mandatory=True)


async def publish_all(opened: AbstractChannel, queue: str, bodies: Iterable[bytes]) -> None:
    """IN_FLIGHT of them at any time."""
    left = iter(bodies)

    async def one_after_another() -> None:
        for body in left:
            await publish(opened, queue, body)

    await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT)))


async def consume(
    opened: AbstractChannel, queue: str, handle: Callable[[bytes], Awaitable[None]], prefetch: int
) -> None:
    """In the background, for as long as the channel is open; acknowledged after `handle`."""

    async def on_message(message: AbstractIncomingMessage) -> None:
        await handle(message.body)
        await message.ack()

    await opened.set_qos(prefetch_count=prefetch)
    await (await opened.get_queue(queue)).consume(on_message)
