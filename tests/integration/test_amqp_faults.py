"""What goes wrong between us and RabbitMQ, and what must come of it."""

from __future__ import annotations

import asyncio

import pytest
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractChannel, HeadersType

from shared.messaging.amqp import consumer as amqp_consumer
from shared.messaging.amqp import publisher as amqp_publisher
from shared.messaging.bus import BusUnavailable, Delivery, Done, Message, Outcome, Retry, Unroutable
from shared.messaging.topology import AUTH, OTP_DELIVERY, events_exchange
from tests.integration.conftest import NewBus
from tests.polling import eventually
from tests.recording import Recorder, otp_message
from tests.servers.tcp_proxy import TcpProxy

QUEUE = OTP_DELIVERY.queue
EXCHANGE = events_exchange(AUTH)


# ---- publishing


async def test_after_a_lost_binding_publish_raises_and_then_mends_it(
    new_bus: NewBus, operator: AbstractChannel
) -> None:
    bus = new_bus()
    await bus.publish(otp_message())
    queue = await operator.get_queue(QUEUE)
    await queue.unbind(EXCHANGE, OTP_DELIVERY.routing_keys[0])

    with pytest.raises(Unroutable):
        await bus.publish(otp_message())
    await bus.publish(otp_message())


async def test_a_deleted_exchange_comes_back(new_bus: NewBus, operator: AbstractChannel) -> None:
    bus = new_bus()
    await bus.publish(otp_message())
    await operator.exchange_delete(EXCHANGE)

    with pytest.raises(BusUnavailable):
        await bus.publish(otp_message())
    await bus.publish(otp_message())


async def test_two_publishes_of_one_event_do_not_swap_their_results(new_bus: NewBus) -> None:
    """With one message id for both, the library confirmed the unroutable one: a silent loss."""
    bus = new_bus()
    routable = otp_message("same")
    stray = Message(routing_key="auth.nobody_wants_this.v1", body=b"{}", event_id="same", correlation_id="c")

    results = await asyncio.gather(
        *(bus.publish(message) for _ in range(10) for message in (stray, routable)), return_exceptions=True
    )

    assert [type(result) for result in results] == [Unroutable, type(None)] * 10


async def test_a_publish_without_a_broker_fails_and_later_ones_succeed(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str
) -> None:
    bus = new_bus(proxied_url)
    proxy.refuse()
    with pytest.raises(BusUnavailable):
        await bus.publish(otp_message())

    await proxy.start()
    await bus.publish(otp_message())


async def test_publishes_in_flight_on_a_cut_connection_fail_at_once(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str
) -> None:
    bus = new_bus(proxied_url)
    await bus.publish(otp_message())
    proxy.stall()
    publishes = [asyncio.create_task(bus.publish(otp_message())) for _ in range(20)]
    await asyncio.wait(publishes, timeout=0.2)
    proxy.cut()

    async with asyncio.timeout(5):
        results = await asyncio.gather(*publishes, return_exceptions=True)
    assert {type(result) for result in results} == {BusUnavailable}

    proxy.resume()
    await bus.publish(otp_message())


async def test_a_publish_that_timed_out_may_have_been_delivered(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a time-out means *unknown*; callers publish again, and consumers cope with a repeat."""
    bus, seen = new_bus(proxied_url), Recorder()
    await bus.publish(otp_message("first"))
    monkeypatch.setattr(amqp_publisher, "PUBLISH_SECONDS", 0.5)
    proxy.stall()
    with pytest.raises(BusUnavailable):
        await bus.publish(otp_message("timed out"))
    proxy.resume()

    await new_bus().consume(QUEUE, seen, concurrency=1)
    await eventually(lambda: "timed out" in seen.event_ids)


async def test_attempts_while_the_broker_is_silent_are_one_message_when_it_speaks_again(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes what was written meanwhile; so nothing more is written before it has answered."""
    bus, seen = new_bus(proxied_url), Recorder()
    await bus.publish(otp_message("first"))
    monkeypatch.setattr(amqp_publisher, "PUBLISH_SECONDS", 0.3)
    proxy.stall()
    for _ in range(3):
        with pytest.raises(BusUnavailable):
            await bus.publish(otp_message("again"))
    monkeypatch.setattr(amqp_publisher, "PUBLISH_SECONDS", 10)
    proxy.resume()
    await bus.publish(otp_message("last"))

    await new_bus().consume(QUEUE, seen, concurrency=1)
    await eventually(lambda: "last" in seen.event_ids)
    assert [delivery.event_id for delivery in seen.deliveries] == ["first", "again", "last"]


async def test_the_callers_own_timeout_is_honoured(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = new_bus(proxied_url)
    await bus.publish(otp_message())
    monkeypatch.setattr(amqp_publisher, "PUBLISH_SECONDS", 3600)
    proxy.stall()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await bus.publish(otp_message())


async def test_a_stuck_connection_never_cancels_the_publisher(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library gives up on a silent connection with a CancelledError: a relay died of it without a word."""
    monkeypatch.setattr(amqp_publisher, "DOUBT_SECONDS", 3600)  # else we give it up first
    bus = new_bus(proxied_url, heartbeat=1)  # silence is noticed after six to eight seconds
    await bus.publish(otp_message())
    proxy.stall()

    # And not "no answer within ...": the loss was noticed, and became an error of ours.
    with pytest.raises(BusUnavailable, match="connection lost"):
        await bus.publish(otp_message())

    proxy.resume()
    await bus.publish(otp_message())


# ---- consuming


async def test_a_consumer_returns_after_its_connection_was_cut(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str
) -> None:
    seen = Recorder()
    consumption = await new_bus(proxied_url).consume(QUEUE, seen, concurrency=1)
    proxy.cut()
    await eventually(lambda: not consumption.live, timeout=1)

    await eventually(lambda: consumption.live)
    await new_bus().publish(otp_message("after the cut"))
    await eventually(lambda: seen.event_ids == {"after the cut"})


async def test_a_handler_whose_connection_is_cut_finishes_and_gets_the_message_once_more(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str
) -> None:
    go_on, finished = asyncio.Event(), []

    async def slow(delivery: Delivery) -> Outcome:
        await go_on.wait()
        finished.append(delivery.attempt)
        return Done()

    seen = Recorder(slow)
    consumption = await new_bus(proxied_url).consume(QUEUE, seen, concurrency=1)
    await new_bus().publish(otp_message())
    await eventually(lambda: seen.deliveries)
    proxy.cut()
    await eventually(lambda: not consumption.live)
    await eventually(lambda: consumption.live)
    go_on.set()

    await eventually(lambda: finished == [1, 1])


async def test_a_consumer_whose_queue_is_deleted_declares_it_again(new_bus: NewBus, operator: AbstractChannel) -> None:
    """The broker cancels the consumer, and connection and channel stay open."""
    seen = Recorder()
    bus = new_bus()
    consumption = await bus.consume(QUEUE, seen, concurrency=1)
    await operator.queue_delete(QUEUE)
    await eventually(lambda: not consumption.live, timeout=2)  # told by the broker, before the watch looks

    await eventually(lambda: consumption.live)
    await bus.publish(otp_message("after the deletion"))
    await eventually(lambda: seen.event_ids == {"after the deletion"})


async def test_a_frozen_broker_turns_the_consumer_off_and_its_return_on_again(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str
) -> None:
    seen = Recorder()
    consumption = await new_bus(proxied_url).consume(QUEUE, seen, concurrency=1)
    proxy.stall()
    await eventually(lambda: not consumption.live, timeout=15)

    proxy.resume()
    await eventually(lambda: consumption.live, timeout=15)
    await new_bus().publish(otp_message("after the frost"))
    await eventually(lambda: seen.event_ids == {"after the frost"})


async def test_consuming_without_a_broker_begins_when_it_comes(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str
) -> None:
    proxy.refuse()
    async with asyncio.timeout(1):
        consumption = await new_bus(proxied_url).consume(QUEUE, Recorder(), concurrency=1)
    assert not consumption.live

    await proxy.start()
    await eventually(lambda: consumption.live)


async def test_consuming_from_a_silent_broker_does_not_wait_for_it(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str
) -> None:
    proxy.stall()
    async with asyncio.timeout(amqp_consumer.REACH_SECONDS + 1):
        consumption = await new_bus(proxied_url).consume(QUEUE, Recorder(), concurrency=1)
    assert not consumption.live


async def test_a_retry_survives_a_deleted_retry_queue(new_bus: NewBus, operator: AbstractChannel) -> None:
    async def fail_once(delivery: Delivery) -> Outcome:
        return Retry("mail server refuses") if delivery.attempt == 1 else Done()

    seen = Recorder(fail_once)
    bus = new_bus()
    await bus.consume(QUEUE, seen, concurrency=1)
    await operator.queue_delete(OTP_DELIVERY.retry_queue(1))
    await bus.publish(otp_message())

    await eventually(lambda: seen.attempts == [1, 2])


async def test_a_strangers_message_is_handled_and_retried(new_bus: NewBus, operator: AbstractChannel) -> None:
    async def fail_once(delivery: Delivery) -> Outcome:
        return Retry("again") if delivery.attempt == 1 else Done()

    seen = Recorder(fail_once)
    await new_bus().consume(QUEUE, seen, concurrency=5)
    exchange = await operator.get_exchange(EXCHANGE)
    hostile: HeadersType = {"x-event-id": ["a", 1], "x-attempt": "many", "x-death": [7], "x-reason": bytearray(b"\xff")}
    await exchange.publish(AmqpMessage(b"no headers"), "auth.otp_requested.v1")
    await exchange.publish(AmqpMessage(b"odd headers", headers=hostile), "auth.otp_requested.v1")
    await exchange.publish(AmqpMessage(b"huge headers", headers={"x-event-id": "x" * 100_000}), "auth.otp_requested.v1")

    await eventually(lambda: seen.attempts.count(2) == 3)
    by_body = {
        body: {d.event_id for d in seen.deliveries if d.body == body} for body in (b"no headers", b"odd headers")
    }
    assert all(len(event_ids) == 1 for event_ids in by_body.values())
    assert {delivery.routing_key for delivery in seen.deliveries} == {"auth.otp_requested.v1"}
    assert max(len(delivery.event_id) for delivery in seen.deliveries) == 255


async def test_overlong_ids_do_not_stop_the_publisher(new_bus: NewBus) -> None:
    seen = Recorder()
    bus = new_bus()
    await bus.consume(QUEUE, seen, concurrency=1)
    await bus.publish(Message(routing_key="auth.otp_requested.v1", body=b"{}", event_id="e", correlation_id="ü" * 300))
    await eventually(lambda: seen.deliveries)
    assert seen.deliveries[0].correlation_id == "ü" * 127
