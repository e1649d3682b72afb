"""Both buses keep the promises of `shared.messaging.bus`."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest

from shared.messaging import handling, memory, topology
from shared.messaging.amqp import topology as amqp_topology
from shared.messaging.bus import Bus, BusUnavailable, Delivery, Done, GiveUp, Message, Outcome, Retry, Unroutable
from shared.messaging.topology import ACCOUNT_READ_MODEL, OTP_DELIVERY, Subscription
from tests.contracts.conftest import Broker, Spawn
from tests.polling import eventually
from tests.recording import Recorder, otp_message


async def test_a_message_arrives_with_all_its_fields(bus: Bus) -> None:
    seen = Recorder()
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)
    body = '{"name": "Zoë"}'.encode() + bytes(range(256))

    message = Message(routing_key="auth.otp_requested.v1", body=body, event_id="e-1", correlation_id="c-1")
    message = replace(message, traceparent=f"00-{'1' * 32}-{'2' * 16}-01")

    await bus.publish(message)

    await eventually(lambda: seen.deliveries)
    assert seen.deliveries == [Delivery(**asdict(message), attempt=1)]


async def test_the_moment_of_publishing_comes_along_to_every_attempt(bus: Bus, spawn: Spawn) -> None:
    async def fail_once(delivery: Delivery) -> Outcome:
        return Retry("mail server refuses") if delivery.attempt == 1 else Done()

    seen = Recorder(fail_once)
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)
    moment = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)

    spawn(bus.publish(replace(otp_message("stamped"), published_at=moment)))

    await eventually(lambda: len(seen.deliveries) == 2)
    assert [delivery.published_at for delivery in seen.deliveries] == [moment, moment]


async def test_each_subscription_gets_only_the_events_it_wants(bus: Bus) -> None:
    codes, accounts = Recorder(), Recorder()
    await bus.consume(OTP_DELIVERY.queue, codes, concurrency=1)
    await bus.consume(ACCOUNT_READ_MODEL.queue, accounts, concurrency=1)

    await bus.publish(otp_message("code"))
    await bus.publish(
        Message(routing_key="users.account_changed.v1", body=b"{}", event_id="account", correlation_id="c")
    )

    await eventually(lambda: codes.deliveries and accounts.deliveries)
    assert (codes.event_ids, accounts.event_ids) == ({"code"}, {"account"})


@pytest.fixture
def second_subscription(monkeypatch: pytest.MonkeyPatch) -> Subscription:
    """Another subscriber of the same event. Ask for it before the bus: its queues go when the bus has gone."""
    second = Subscription("users.second", OTP_DELIVERY.routing_keys)
    for module in (topology, amqp_topology, memory):
        monkeypatch.setattr(module, "SUBSCRIPTIONS", (*topology.SUBSCRIPTIONS, second))
    return second


@pytest.fixture
def two_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "MAX_HANDLER_ERRORS", 2)  # five take 44 seconds


async def test_a_message_keeps_its_mac_and_its_moment_when_it_comes_again(bus: Bus, spawn: Spawn) -> None:
    async def later(delivery: Delivery) -> Outcome:
        return Retry("not now") if delivery.attempt == 1 else Done()

    seen = Recorder(later)
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)
    moment = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)

    spawn(bus.publish(replace(otp_message(), mac="a MAC", published_at=moment)))

    await eventually(lambda: len(seen.deliveries) == 2)
    assert [(each.mac, each.published_at) for each in seen.deliveries] == [("a MAC", moment)] * 2


async def test_every_subscription_of_an_event_gets_it(second_subscription: Subscription, bus: Bus) -> None:
    first, second = Recorder(), Recorder()
    await bus.consume(OTP_DELIVERY.queue, first, concurrency=1)
    await bus.consume(second_subscription.queue, second, concurrency=1)

    await bus.publish(otp_message("both"))

    await eventually(lambda: first.event_ids == second.event_ids == {"both"})


async def test_what_is_put_off_comes_again_as_the_same_attempt(bus: Bus, spawn: Spawn) -> None:
    async def put_off_twice(delivery: Delivery) -> Outcome:
        return Retry("others first", tried=False) if delivery.put_off < 2 else Done()

    seen = Recorder(put_off_twice)
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)

    spawn(bus.publish(otp_message("put off")))

    await eventually(lambda: len(seen.deliveries) == 3)
    assert [(each.attempt, each.put_off) for each in seen.deliveries] == [(1, 0), (1, 1), (1, 2)]
    assert not any(each.fresh for each in seen.deliveries[1:])


async def test_a_retry_comes_again_after_the_delay_as_the_next_attempt(bus: Bus, spawn: Spawn) -> None:
    times: list[float] = []

    async def fail_once(delivery: Delivery) -> Outcome:
        times.append(time.monotonic())
        return Retry("mail server refuses") if delivery.attempt == 1 else Done()

    seen = Recorder(fail_once)
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)
    message = otp_message("again")
    spawn(bus.publish(message))

    await eventually(lambda: len(seen.deliveries) == 2)
    first, second = seen.deliveries
    assert (first.attempt, second.attempt) == (1, 2)
    assert (second.event_id, second.body, second.routing_key, second.correlation_id) == (
        message.event_id,
        message.body,
        message.routing_key,
        message.correlation_id,
    )
    assert times[1] - times[0] > 0.9 * topology.RETRY_DELAYS[0]  # later, by a busy machine, is no fault


async def test_what_is_given_up_is_a_dead_letter_with_the_reason(broker: Broker, spawn: Spawn) -> None:
    await broker.bus.consume(OTP_DELIVERY.queue, Recorder(GiveUp("no such mailbox")), concurrency=1)
    spawn(broker.bus.publish(otp_message("dead", body=b"0123456789")))

    (letter,) = await eventually(broker.dead_letters)

    assert letter.queue == OTP_DELIVERY.queue
    assert (letter.event_id, letter.event_type) == ("dead", "auth.otp_requested.v1")
    assert (letter.reason, letter.attempts, letter.size) == ("no such mailbox", 1, 10)
    assert letter.died_at is not None
    assert letter.died_at.tzinfo is not None


async def test_a_handler_that_raises_is_retried_and_then_given_up(
    broker: Broker, spawn: Spawn, two_attempts: None
) -> None:
    async def fail(_: Delivery) -> Outcome:
        raise ValueError("the body, quoted by a validator")

    seen = Recorder(fail)
    await broker.bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)
    spawn(broker.bus.publish(otp_message()))

    (letter,) = await eventually(broker.dead_letters)

    assert seen.attempts == [1, 2]
    assert (letter.reason, letter.attempts) == ("handler failed: ValueError", 2)


async def test_a_cancelled_error_that_nobody_asked_for_counts_as_a_failure(bus: Bus, spawn: Spawn) -> None:
    async def leak_once(delivery: Delivery) -> Outcome:
        if delivery.attempt == 1:
            raise asyncio.CancelledError  # as libraries do when their connection gets stuck
        return Done()

    seen = Recorder(leak_once)
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)
    spawn(bus.publish(otp_message()))

    await eventually(lambda: seen.attempts == [1, 2])


async def test_a_message_that_no_subscription_wants_is_an_error(bus: Bus) -> None:
    stray = Message(routing_key="auth.nobody_wants_this.v1", body=b"{}", event_id="e", correlation_id="c")
    with pytest.raises(Unroutable):
        await bus.publish(stray)


async def test_a_message_that_nobody_need_hear_is_gone_without_an_error_and_others_flow(bus: Bus) -> None:
    seen = Recorder()
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)
    stray = Message(routing_key="auth.nobody_wants_this.v1", body=b"{}", event_id="e", correlation_id="c")

    await bus.publish(replace(stray, mandatory=False))

    await bus.publish(replace(otp_message("heard all the same"), mandatory=False))
    await eventually(lambda: seen.event_ids == {"heard all the same"})


async def test_two_hundred_at_once_are_all_confirmed_and_delivered(bus: Bus) -> None:
    seen = Recorder()
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=10)
    messages = [otp_message() for _ in range(200)]

    await asyncio.gather(*map(bus.publish, messages))

    await eventually(lambda: len(seen.deliveries) >= 200)
    assert seen.event_ids == {message.event_id for message in messages}


async def test_no_more_handlers_run_than_allowed(bus: Bus, spawn: Spawn) -> None:
    go_on = asyncio.Event()
    running = Recorder(lambda _: _done_after(go_on))
    await bus.consume(OTP_DELIVERY.queue, running, concurrency=3)
    for _ in range(6):
        spawn(bus.publish(otp_message()))

    await eventually(lambda: len(running.deliveries) == 3)
    go_on.set()
    await eventually(lambda: len(running.deliveries) == 6)


async def _done_after(event: asyncio.Event) -> Outcome:
    await event.wait()
    return Done()


async def test_stop_lets_those_in_flight_finish(broker: Broker, spawn: Spawn) -> None:
    go_on = asyncio.Event()
    first, second = Recorder(lambda _: _done_after(go_on)), Recorder()
    consumption = await broker.bus.consume(OTP_DELIVERY.queue, first, concurrency=1)
    spawn(broker.bus.publish(otp_message("in flight")))
    await eventually(lambda: first.deliveries)

    stopping = spawn(consumption.stop(grace=5))
    await eventually(lambda: not consumption.live)
    spawn(broker.bus.publish(otp_message("for the next")))
    go_on.set()
    await stopping

    await broker.other_bus.consume(OTP_DELIVERY.queue, second, concurrency=1)
    await eventually(lambda: second.deliveries)
    assert (first.event_ids, second.event_ids) == ({"in flight"}, {"for the next"})


async def test_what_a_stopped_consumer_did_not_finish_goes_to_the_next(broker: Broker, spawn: Spawn) -> None:
    stuck, second = Recorder(lambda _: _done_after(asyncio.Event())), Recorder()
    consumption = await broker.bus.consume(OTP_DELIVERY.queue, stuck, concurrency=1)
    spawn(broker.bus.publish(otp_message("unfinished")))
    await eventually(lambda: stuck.deliveries)

    await consumption.stop(grace=0.1)

    await broker.other_bus.consume(OTP_DELIVERY.queue, second, concurrency=1)
    await eventually(lambda: second.event_ids == {"unfinished"})


async def test_a_publisher_without_patience_can_come_again(bus: Bus) -> None:
    message = otp_message()
    seen = Recorder()
    with suppress(TimeoutError):  # without a consumer, the bus in memory can't be done in time
        async with asyncio.timeout(0.2):
            await bus.publish(message)
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)

    await bus.publish(message)

    await eventually(lambda: message.event_id in seen.event_ids)


async def test_a_consumer_is_live_until_it_is_stopped(bus: Bus) -> None:
    consumption = await bus.consume(OTP_DELIVERY.queue, Recorder(), concurrency=1)
    await eventually(lambda: consumption.live)
    await consumption.stop(grace=1)
    assert not consumption.live


async def test_a_queue_of_no_subscription_can_not_be_consumed(bus: Bus) -> None:
    with pytest.raises(LookupError):
        await bus.consume("typo", Recorder(), concurrency=1)


async def test_a_closed_bus_refuses(bus: Bus) -> None:
    await bus.close()
    with pytest.raises(BusUnavailable):
        await bus.publish(otp_message())
