"""The RabbitMQ of the tests keeps what it promises to them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
import pytest

from shared.messaging import topology
from tests.servers.rabbitmq import RabbitMQ, delete_topology, empty_vhost, vhost_with_topology
from tests.servers.vhosts import BATCH


@pytest.fixture
async def amqp_url(rabbitmq: RabbitMQ) -> AsyncIterator[str]:
    """Nothing is declared there."""
    async with empty_vhost(rabbitmq) as url:
        yield url


async def declare(url: str, queue: str, *, passive: bool = False) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(queue, durable=True, passive=passive)


async def test_each_virtual_host_is_without_queues(rabbitmq: RabbitMQ) -> None:
    queue = topology.OTP_DELIVERY.queue
    for _ in range(BATCH + 1):
        async with empty_vhost(rabbitmq) as url:
            with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
                await declare(url, queue, passive=True)
            await declare(url, queue)


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


async def test_a_virtual_host_that_comes_again_has_its_topology_and_no_message(rabbitmq: RabbitMQ) -> None:
    """Whatever the last test did: deleted an exchange, left a message waiting, or went with one unsettled."""
    queue = topology.OTP_DELIVERY.queue
    async with vhost_with_topology(rabbitmq) as first, await aio_pika.connect(first) as connection:
        channel = await connection.channel()
        for _ in range(2):
            await channel.default_exchange.publish(aio_pika.Message(b"left behind"), queue)
        await (await channel.get_queue(queue, ensure=False)).get()
        await channel.exchange_delete(topology.events_exchange(topology.AUTH))

    async with vhost_with_topology(rabbitmq) as again, await aio_pika.connect(again) as connection:
        channel = await connection.channel()
        assert await (await channel.get_queue(queue, ensure=False)).get(fail=False) is None
        await channel.get_exchange(topology.events_exchange(topology.AUTH), ensure=True)


async def test_one_whose_queue_was_declared_otherwise_does_not_come_again(rabbitmq: RabbitMQ) -> None:
    if not rabbitmq.vhosts:
        pytest.skip("this broker was given: all tests have the same virtual host")
    async with vhost_with_topology(rabbitmq) as first, await aio_pika.connect(first) as connection:
        channel = await connection.channel()
        await channel.queue_delete(topology.OTP_DELIVERY.queue)
        await channel.declare_queue(topology.OTP_DELIVERY.queue, durable=True)

    async with vhost_with_topology(rabbitmq) as second:
        assert second != first
