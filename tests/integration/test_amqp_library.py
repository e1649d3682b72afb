"""What the AMQP library does that its documentation does not say. We guard against each; a failure here says
that it has been mended upstream, and that a guard may go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import aiormq
import pytest
from aio_pika.abc import AbstractChannel

from tests.polling import eventually
from tests.servers.rabbitmq import RabbitMQ, empty_vhost
from tests.servers.tcp_proxy import TcpProxy


@pytest.fixture
async def amqp_url(rabbitmq: RabbitMQ) -> AsyncIterator[str]:
    """Nothing is declared there."""
    async with empty_vhost(rabbitmq) as url:
        yield url


async def test_an_unroutable_publish_is_no_error_by_default(operator: AbstractChannel) -> None:
    result = await operator.default_exchange.publish(aio_pika.Message(b"{}"), "no such queue", mandatory=True)
    assert isinstance(result, aiormq.abc.DeliveredMessage)  # guard: on_return_raises, in amqp_link


async def test_two_publishes_with_one_message_id_swap_their_results(amqp_url: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue("there", durable=True)
        results = await asyncio.gather(
            *(
                channel.default_exchange.publish(aio_pika.Message(b"{}", message_id="same"), name)
                for name in ("not there", queue.name)
            ),
            return_exceptions=True,
        )
        await channel.queue_delete(queue.name)
    confirmed = [not isinstance(result, Exception) for result in results]
    assert confirmed == [True, False]  # guard: a fresh message id, in amqp_messages


async def test_a_stuck_connection_cancels_whoever_publishes(proxy: TcpProxy, proxied_url: str) -> None:
    connection = await aio_pika.connect(proxied_url, heartbeat=1)
    channel = await connection.channel()
    proxy.stall()

    with pytest.raises(asyncio.CancelledError):
        await channel.default_exchange.publish(aio_pika.Message(b"{}"), "any")

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0  # nobody asked for it; guard: amqp_calls
    await connection.close()


async def test_a_publish_that_timed_out_arrives_later(
    proxy: TcpProxy, proxied_url: str, operator: AbstractChannel
) -> None:
    queue = await operator.declare_queue("there", durable=True)
    async with await aio_pika.connect(proxied_url) as connection:
        exchange = (await connection.channel()).default_exchange
        proxy.stall()
        with pytest.raises(TimeoutError):
            await exchange.publish(aio_pika.Message(b"{}"), queue.name, timeout=0.3)
        proxy.resume()
        await eventually(lambda: queue.get(fail=False))  # guard: a time-out means unknown, in the relay
    await operator.queue_delete(queue.name)


async def test_reconnecting_to_a_queue_with_other_arguments_consumes_nothing_and_says_so_to_nobody(
    proxy: TcpProxy, proxied_url: str, operator: AbstractChannel, caplog: pytest.LogCaptureFixture
) -> None:
    async def nothing(_message: aio_pika.abc.AbstractIncomingMessage) -> None:
        raise AssertionError

    async def consumers() -> int:
        return (await operator.declare_queue("there", passive=True)).declaration_result.consumer_count or 0

    caplog.set_level("WARNING", "aio_pika")
    connection = await aio_pika.connect_robust(proxied_url, reconnect_interval=0.1)
    queue = await (await connection.channel()).declare_queue("there", durable=True)
    await queue.consume(nothing)
    proxy.refuse()
    proxy.cut()
    await operator.queue_delete(queue.name)
    await operator.declare_queue(queue.name, durable=True, arguments={"x-max-length": 5})
    await proxy.start()

    # Again and again. Guard: no `connect_robust`; a mismatch fails the start, and readiness watches the consumer.
    await eventually(lambda: caplog.text.count("PRECONDITION_FAILED") > 3)
    assert await consumers() == 0
    await connection.close()
