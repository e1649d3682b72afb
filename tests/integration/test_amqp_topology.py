"""Queues and exchange on the broker: declared by whoever comes first, and never taken for granted."""

from __future__ import annotations

import asyncio

import pytest
from aio_pika.abc import AbstractChannel

from shared.messaging.bus import TopologyMismatch
from shared.messaging.topology import OTP_DELIVERY
from tests.integration.conftest import NewBus
from tests.polling import eventually
from tests.recording import Recorder, otp_message
from tests.servers.rabbitmq import delete_topology
from tests.servers.tcp_proxy import TcpProxy

QUEUE = OTP_DELIVERY.queue


async def test_many_processes_declare_at_once(new_bus: NewBus, amqp_url: str) -> None:
    await delete_topology(amqp_url)
    buses = [new_bus() for _ in range(4)]
    consumptions = await asyncio.gather(*(bus.consume(QUEUE, Recorder(), concurrency=1) for bus in buses))
    await asyncio.gather(*(bus.publish(otp_message()) for bus in buses))
    await eventually(lambda: all(consumption.live for consumption in consumptions))


async def test_a_queue_with_other_arguments_fails_the_start(
    new_bus: NewBus, operator: AbstractChannel, amqp_url: str
) -> None:
    """The library's own reconnecting logs one line and consumes nothing, for ever."""
    for start in (
        lambda: new_bus().consume(QUEUE, Recorder(), concurrency=1),
        lambda: new_bus().publish(otp_message()),
    ):
        await delete_topology(amqp_url)
        await operator.declare_queue(QUEUE, durable=True)
        with pytest.raises(TopologyMismatch, match=QUEUE):
            await start()


async def test_a_mismatch_that_shows_later_keeps_the_consumer_off_until_it_is_mended(
    new_bus: NewBus, operator: AbstractChannel, proxy: TcpProxy, proxied_url: str
) -> None:
    await operator.queue_delete(QUEUE)
    await operator.declare_queue(QUEUE, durable=True)
    proxy.refuse()
    consumption = await new_bus(proxied_url).consume(QUEUE, Recorder(), concurrency=1)
    await proxy.start()
    with pytest.raises(AssertionError, match="not within"):
        await eventually(lambda: consumption.live, timeout=1)

    await operator.queue_delete(QUEUE)
    await eventually(lambda: consumption.live)
