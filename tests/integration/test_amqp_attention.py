"""Which deliveries are `fresh`: those that were published a moment ago, and none that have waited anywhere."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aio_pika.abc import AbstractChannel

from shared.messaging.amqp import AmqpBus, attention, consumer, dead_letters
from shared.messaging.amqp.link import Link
from shared.messaging.bus import BusUnavailable, Delivery, Done, GiveUp, Outcome, Retry
from shared.messaging.topology import OTP_DELIVERY
from tests.integration.conftest import NewBus
from tests.polling import eventually
from tests.recording import Recorder, otp_message
from tests.servers.tcp_proxy import TcpProxy


@pytest.fixture(autouse=True)
def a_while_is_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than any test takes on a slow machine."""
    monkeypatch.setattr(attention, "WHILE_SECONDS", 3600)


async def hours_pass(bus: AmqpBus) -> None:
    """From now on its consumer has been waiting for hours."""
    consumption = bus._consumptions[-1]
    await eventually(lambda: consumption.live and not consumption._in_flight)
    consumption._attention._since -= 7200
    assert consumption._attention.caught_up


def fresh(seen: Recorder) -> dict[str, bool]:
    return {delivery.event_id: delivery.fresh for delivery in seen.deliveries}


async def test_a_message_for_a_consumer_that_was_waiting_is_prompt(new_bus: NewBus) -> None:
    bus, seen = new_bus(), Recorder()
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=2)
    await hours_pass(bus)

    await bus.publish(otp_message("new"))

    await eventually(lambda: fresh(seen) == {"new": True})


async def test_what_comes_right_after_the_connection_is_not(new_bus: NewBus) -> None:
    """It may have been waiting for hours."""
    bus, seen = new_bus(), Recorder()
    await bus.publish(otp_message("backlog"))

    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=2)

    await eventually(lambda: fresh(seen) == {"backlog": False})


async def test_nor_what_comes_right_after_a_connection_that_replaces_a_lost_one(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str
) -> None:
    bus, elsewhere, seen = new_bus(proxied_url), new_bus(), Recorder()
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=2)
    await hours_pass(bus)
    proxy.refuse()
    proxy.cut()
    await eventually(lambda: not bus._consumptions[-1].live)
    await elsewhere.publish(otp_message("while it was away"))

    await proxy.start()

    await eventually(lambda: fresh(seen) == {"while it was away": False}, 30)


async def test_nor_what_comes_when_every_slot_was_taken(new_bus: NewBus) -> None:
    go_on = asyncio.Event()

    async def slowly(_: Delivery) -> Outcome:
        await go_on.wait()
        return Done()

    bus, seen = new_bus(), Recorder(slowly)
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=2)
    await hours_pass(bus)
    for event in ("first", "second", "waited"):
        await bus.publish(otp_message(event))
    await eventually(lambda: len(seen.deliveries) == 2)
    go_on.set()

    await eventually(lambda: len(seen.deliveries) == 3)
    assert not fresh(seen)["waited"]


async def test_nor_a_retry_nor_a_letter_that_is_replayed(new_bus: NewBus, amqp_url: str) -> None:
    outcomes: list[Outcome] = [Retry("once"), GiveUp("then"), Done()]

    async def next_outcome(_: Delivery) -> Outcome:
        return outcomes.pop(0)

    bus, seen = new_bus(), Recorder(next_outcome)
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=2)
    await hours_pass(bus)

    stamp = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    await bus.publish(replace(otp_message("again"), published_at=stamp))
    await eventually(lambda: len(outcomes) == 1)
    await hours_pass(bus)
    assert [(delivery.fresh, delivery.published_at) for delivery in seen.deliveries] == [(True, stamp), (False, stamp)]

    assert await dead_letters.replay(amqp_url) == 1
    await eventually(lambda: not outcomes)
    assert (seen.deliveries[-1].fresh, seen.deliveries[-1].published_at) == (False, stamp)


async def test_nor_what_another_consumer_had_first(new_bus: NewBus, operator: AbstractChannel) -> None:
    bus, seen = new_bus(), Recorder()
    await bus.publish(otp_message("had"))
    queue = await operator.get_queue(OTP_DELIVERY.queue)
    taken = await eventually(lambda: queue.get(fail=False))
    await bus.consume(OTP_DELIVERY.queue, seen, concurrency=2)
    await hours_pass(bus)

    assert taken is not None
    await taken.reject(requeue=True)

    await eventually(lambda: fresh(seen) == {"had": False})


async def test_what_a_frozen_process_finds_in_its_socket_is_not_handled_while_the_broker_does_not_answer(
    new_bus: NewBus, proxy: TcpProxy, proxied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been given to another."""
    bus, other, seen, by_other = new_bus(proxied_url), new_bus(), Recorder(), Recorder()
    sleeper = await bus.consume(OTP_DELIVERY.queue, seen, concurrency=2)
    await eventually(lambda: sleeper.live)
    sleeper._attention._awake_at -= 7200
    asked, ensure = asyncio.Event(), Link.ensure

    async def no_answer(link: Link, *, exchange: str, queue: str | None = None) -> None:
        if link is not sleeper._link:
            return await ensure(link, exchange=exchange, queue=queue)
        asked.set()
        raise BusUnavailable("no answer")

    monkeypatch.setattr(Link, "ensure", no_answer)
    await other.publish(otp_message("for a sleeper"))
    await asked.wait()
    monkeypatch.undo()

    proxy.refuse()
    proxy.cut()
    await other.consume(OTP_DELIVERY.queue, by_other, concurrency=2)

    await eventually(lambda: by_other.event_ids == {"for a sleeper"})
    assert seen.deliveries == []


async def test_what_it_finds_is_handled_if_the_broker_still_knows_it(new_bus: NewBus) -> None:
    bus, seen = new_bus(), Recorder()
    sleeper = await bus.consume(OTP_DELIVERY.queue, seen, concurrency=2)
    await eventually(lambda: sleeper.live)
    sleeper._attention._awake_at -= 7200

    await bus.publish(otp_message("for a sleeper"))

    await eventually(lambda: seen.event_ids == {"for a sleeper"})


def test_a_process_that_was_frozen_was_not_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in its socket may be as old as the frost."""
    now = 1000.0
    monkeypatch.setattr(attention, "WHILE_SECONDS", 1.0)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    it = attention.Attention(consumer.ASLEEP_SECONDS)
    for _ in range(3):
        now += consumer.WATCH_SECONDS
        it.awake()
    assert it.caught_up

    now += consumer.ASLEEP_SECONDS + 0.1
    assert not it.caught_up  # whichever comes first after it: a message,
    it.awake()
    assert not it.caught_up  # or the watch
    now += attention.WHILE_SECONDS
    assert it.caught_up
