"""The RabbitMQ of the tests keeps what it promises to them."""

from __future__ import annotations

import aio_pika
import pytest

from shared.broker import topology
from tests.servers.rabbitmq import RabbitMQ, delete_topology, on_vhost
from tests.servers.vhosts import BATCH


async def declare(url: str, queue: str, *, passive: bool = False) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(queue, durable=True, passive=passive)


@pytest.mark.parametrize("_", range(BATCH + 1))
async def test_each_test_finds_a_broker_without_queues(amqp_url: str, _: int) -> None:
    queue = topology.OTP_DELIVERY.queue
    with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
        await declare(amqp_url, queue, passive=True)
    await declare(amqp_url, queue)


async def test_on_a_given_broker_only_our_own_queues_are_deleted(rabbitmq: RabbitMQ) -> None:
    if not rabbitmq.vhosts:
        pytest.skip("this broker was given: its other queues are not for us to make")
    url = on_vhost(rabbitmq.url, rabbitmq.vhosts.take())
    await declare(url, "somebody.elses")
    await declare(url, topology.OTP_DELIVERY.dead_queue)

    await delete_topology(url)

    await declare(url, "somebody.elses", passive=True)
    with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
        await declare(url, topology.OTP_DELIVERY.dead_queue, passive=True)
