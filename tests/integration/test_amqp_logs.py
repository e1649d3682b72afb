"""No log record shows a message's body, whatever the level that an operator sets."""

from __future__ import annotations

import asyncio
import logging

import pytest
import structlog
from aio_pika.abc import AbstractChannel

from shared.messaging.amqp import dead_letters
from shared.messaging.bus import Delivery, GiveUp, Outcome, Retry, Unroutable
from shared.messaging.topology import AUTH, OTP_DELIVERY, events_exchange
from tests.integration.conftest import NewBus
from tests.polling import eventually
from tests.recording import Recorder, otp_message
from tests.servers.tcp_proxy import TcpProxy

CANARY = "canary-4711"
BODY = f'{{"code": "{CANARY}"}}'.encode()


@pytest.fixture
def at_debug(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


async def test_no_body_is_logged_at_debug(
    new_bus: NewBus, amqp_url: str, operator: AbstractChannel, at_debug: pytest.LogCaptureFixture
) -> None:
    async def answer(delivery: Delivery) -> Outcome:
        match delivery.attempt:
            case 1:
                raise ValueError(f"not a code: {delivery.body!r}")
            case 2:
                return GiveUp("no such mailbox")
        return Retry("never reached")

    bus, seen = new_bus(), Recorder(answer)
    with structlog.testing.capture_logs() as ours:
        await bus.consume(OTP_DELIVERY.queue, seen, concurrency=1)
        await bus.publish(otp_message(body=BODY))
        await eventually(lambda: seen.attempts == [1, 2])

        async def dead() -> bool:
            return bool(await dead_letters.list(amqp_url))

        await eventually(dead)
        queue = await operator.get_queue(OTP_DELIVERY.queue)
        await queue.unbind(events_exchange(AUTH), OTP_DELIVERY.routing_keys[0])
        with pytest.raises(Unroutable):
            await bus.publish(otp_message(body=BODY))
        await bus.close()

    assert "handler failed" in {entry["event"] for entry in ours}
    assert CANARY not in repr(ours)
    assert CANARY not in at_debug.text


async def test_a_message_returned_too_late_is_not_logged_whole(
    new_bus: NewBus,
    operator: AbstractChannel,
    proxy: TcpProxy,
    proxied_url: str,
    at_debug: pytest.LogCaptureFixture,
) -> None:
    """The library logs it with its body, at ERROR, when its publisher has given up waiting."""
    bus = new_bus(proxied_url)
    await bus.publish(otp_message())
    queue = await operator.get_queue(OTP_DELIVERY.queue)
    await queue.unbind(events_exchange(AUTH), OTP_DELIVERY.routing_keys[0])
    proxy.stall()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await bus.publish(otp_message(body=BODY))
    proxy.resume()

    await eventually(lambda: "Unhandled message" in at_debug.text)
    assert CANARY not in at_debug.text
