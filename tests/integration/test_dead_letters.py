"""What an operator can do about messages that were given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from shared.messaging.amqp import dead_letters
from shared.messaging.amqp.topology import DELIVERY_LIMIT
from shared.messaging.bus import DeadLetter, Done, GiveUp
from shared.messaging.topology import ACCOUNT_READ_MODEL, OTP_DELIVERY
from tests.integration.conftest import NewBus
from tests.polling import eventually
from tests.recording import Recorder, otp_message
from tests.servers.rabbitmq import delete_topology

SECRET = b'{"code": "a sealed secret"}'
TRACEPARENT = f"00-{'1' * 32}-{'2' * 16}-01"
MOMENT = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)


async def give_up(new_bus: NewBus, url: str, *event_ids: str) -> None:
    """Leave dead letters with these event ids, in this order."""
    bus = new_bus()
    consumption = await bus.consume(OTP_DELIVERY.queue, Recorder(GiveUp("no such mailbox")), concurrency=1)
    before = len(await dead_letters.list(url))
    for event_id in event_ids:
        message = replace(otp_message(event_id, body=SECRET), traceparent=TRACEPARENT)
        await bus.publish(replace(message, mac=f"MAC of {event_id}", published_at=MOMENT))

    async def all_dead() -> bool:
        return len(await dead_letters.list(url)) == before + len(event_ids)

    await eventually(all_dead)
    await consumption.stop(grace=1)


def ids(letters: Sequence[DeadLetter]) -> list[str]:
    return [letter.event_id for letter in letters]


async def test_listing_removes_nothing_keeps_the_order_and_shows_no_body(new_bus: NewBus, amqp_url: str) -> None:
    await give_up(new_bus, amqp_url, "a", "b", "c")
    # More often than the 20 times that RabbitMQ 4 delivers a message by default, before it throws it away.
    for _ in range(30):
        letters = await dead_letters.list(amqp_url)
        assert ids(letters) == ["a", "b", "c"]
        assert "secret" not in repr(letters)
    assert ids(await dead_letters.list(amqp_url, limit=2)) == ["a", "b"]
    assert ids(await dead_letters.list(amqp_url, OTP_DELIVERY.queue)) == ["a", "b", "c"]
    assert ids(await dead_letters.list(amqp_url, OTP_DELIVERY.dead_queue)) == ["a", "b", "c"]
    assert ids(await dead_letters.list(amqp_url, ACCOUNT_READ_MODEL.queue)) == []


async def test_a_replayed_letter_is_a_first_attempt(new_bus: NewBus, amqp_url: str) -> None:
    await give_up(new_bus, amqp_url, "a", "b", "c")

    assert await dead_letters.replay(amqp_url, event_id="b") == 1

    seen = Recorder(Done())
    await new_bus().consume(OTP_DELIVERY.queue, seen, concurrency=1)
    await eventually(lambda: seen.deliveries)
    (delivery,) = seen.deliveries
    assert (delivery.event_id, delivery.attempt, delivery.body) == ("b", 1, SECRET)
    assert (delivery.routing_key, delivery.correlation_id) == ("auth.otp_requested.v1", "request-1")
    assert (delivery.mac, delivery.published_at) == ("MAC of b", MOMENT)
    assert (delivery.traceparent, delivery.replayed) == (TRACEPARENT, True)
    assert ids(await dead_letters.list(amqp_url)) == ["a", "c"]
    assert await dead_letters.replay(amqp_url, OTP_DELIVERY.queue) == 2
    await eventually(lambda: seen.event_ids == {"a", "b", "c"})
    assert ids(await dead_letters.list(amqp_url)) == []


async def test_a_replay_ends_although_its_letters_die_again(new_bus: NewBus, amqp_url: str) -> None:
    await give_up(new_bus, amqp_url, "a", "b", "c")
    await new_bus().consume(OTP_DELIVERY.queue, Recorder(GiveUp("still none")), concurrency=1)

    assert await dead_letters.replay(amqp_url) == 3

    async def all_dead_again() -> bool:
        return sorted(ids(await dead_letters.list(amqp_url))) == ["a", "b", "c"]

    await eventually(all_dead_again)


async def test_purge_destroys_one_or_all(new_bus: NewBus, amqp_url: str) -> None:
    await give_up(new_bus, amqp_url, "a", "b", "c")
    assert await dead_letters.purge(amqp_url, event_id="b") == 1
    assert ids(await dead_letters.list(amqp_url)) == ["a", "c"]
    assert await dead_letters.purge(amqp_url, OTP_DELIVERY.queue) == 2
    assert await dead_letters.purge(amqp_url) == 0


async def test_a_broker_that_no_service_has_used_has_no_letters(amqp_url: str) -> None:
    await delete_topology(amqp_url)
    assert ids(await dead_letters.list(amqp_url)) == []
    assert await dead_letters.replay(amqp_url) == 0
    assert await dead_letters.purge(amqp_url) == 0


async def test_an_unknown_queue_is_refused(amqp_url: str) -> None:
    with pytest.raises(LookupError):
        await dead_letters.list(amqp_url, "typo")


async def test_a_message_that_keeps_killing_its_consumer_ends_as_a_letter_too(
    new_bus: NewBus, amqp_url: str, operator: AbstractChannel
) -> None:
    await new_bus().publish(otp_message("poison", body=SECRET))
    deliveries = 0

    async def refuse(message: AbstractIncomingMessage) -> None:
        nonlocal deliveries
        deliveries += 1
        await message.reject(requeue=True)

    queue = await operator.get_queue(OTP_DELIVERY.queue)
    await queue.consume(refuse)

    async def letters() -> Sequence[DeadLetter]:
        return await dead_letters.list(amqp_url)

    (letter,) = await eventually(letters)
    assert deliveries in (DELIVERY_LIMIT, DELIVERY_LIMIT + 1)  # brokers count differently
    assert (letter.event_id, letter.event_type) == ("poison", "auth.otp_requested.v1")
    assert (letter.reason, letter.attempts) == ("delivery_limit", 1)
    assert letter.died_at is not None
    assert letter.died_at.tzinfo is not None
