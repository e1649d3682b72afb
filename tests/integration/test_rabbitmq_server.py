"""The RabbitMQ of the tests keeps what it promises to them."""

from __future__ import annotations

import aio_pika
import pytest

from shared.broker import topology
from tests.servers.rabbitmq import RabbitMQ, delete_topology
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


async def test_what_is_held_stays_while_others_come_and_go(rabbitmq: RabbitMQ, amqp_url: str) -> None:
    if not rabbitmq.vhosts:
        pytest.skip("this broker was given: all tests have the same virtual host")
    await declare(amqp_url, "held")

    for _ in range(2 * BATCH):
        with rabbitmq.vhosts.one():
            pass

    await declare(amqp_url, "held", passive=True)


async def test_on_a_given_broker_only_our_own_queues_are_deleted(rabbitmq: RabbitMQ, amqp_url: str) -> None:
    if not rabbitmq.vhosts:
        pytest.skip("this broker was given: its other queues are not for us to make")
    await declare(amqp_url, "somebody.elses")
    await declare(amqp_url, topology.OTP_DELIVERY.dead_queue)

    await delete_topology(amqp_url)

    await declare(amqp_url, "somebody.elses", passive=True)
    with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
        await declare(amqp_url, topology.OTP_DELIVERY.dead_queue, passive=True)
