"""What a message costs on the wire to RabbitMQ, in frames: no more than the protocol asks for."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from services.notifier import app as notifier
from shared.messaging.bus import Delivery, Done, Outcome
from shared.messaging.topology import OTP_OUTCOMES
from tests.builders import message, otp_requested
from tests.composed import Keys, keys, notifier_settings
from tests.integration.conftest import NewBus
from tests.polling import eventually
from tests.servers.mail import MailSink

__all__ = ("keys",)

PUBLISH = ("Basic.Publish", ContentHeader.__name__, ContentBody.__name__)
ACK = "Basic.Ack"


class Sent:
    """The frames that this process has sent; of how many it was waited until they had left."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.waited_for: Counter[str] = Counter()

    def note(self, frames: list[Any], *, waited_for: bool) -> None:
        names = [frame.name if isinstance(getattr(frame, "name", None), str) else "" for frame in frames]
        named = [name if "." in name else type(frame).__name__ for name, frame in zip(names, frames, strict=True)]
        self.frames.update(name for name in named if name != "Heartbeat")
        if waited_for:
            self.waited_for.update(named[:1])

    def forget(self) -> None:
        self.frames.clear()
        self.waited_for.clear()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    seen, marshall = Sent(), ChannelFrame.marshall

    def noted(channel_number: int, frames: list[Any], drain_future: Any = None) -> ChannelFrame:
        seen.note(frames, waited_for=drain_future is not None)
        return marshall(channel_number=channel_number, frames=frames, drain_future=drain_future)

    monkeypatch.setattr(ChannelFrame, "marshall", noted)
    return seen


async def test_a_publish_is_three_frames_and_none_waits_until_those_of_another_have_left(
    new_bus: NewBus, keys: Keys, sent: Sent
) -> None:
    bus = new_bus()
    await bus.publish(message(otp_requested(keys.otp_sealer)))  # declares the topology
    sent.forget()

    await asyncio.gather(*(bus.publish(message(otp_requested(keys.otp_sealer))) for _ in range(20)))

    assert sent.frames == dict.fromkeys(PUBLISH, 20)
    assert not sent.waited_for


async def test_a_delivered_code_costs_the_notifier_one_report_and_one_acknowledgement(
    new_bus: NewBus, keys: Keys, mail_sink: MailSink, sent: Sent
) -> None:
    auth, bus = new_bus(), new_bus()
    heard: list[Delivery] = []

    async def hear(delivery: Delivery) -> Outcome:
        heard.append(delivery)
        return Done()

    async def deliver(count: int) -> None:
        before = len(heard)
        for _ in range(count):
            await auth.publish(message(otp_requested(keys.otp_sealer)))
        await eventually(lambda: len(heard) == before + count)

    await auth.consume(OTP_OUTCOMES.queue, hear, concurrency=10)
    async with notifier.running(notifier_settings(keys, smtp_port=mail_sink.port), bus):
        await deliver(1)
        await eventually(lambda: sent.frames[ACK] == 2)
        sent.forget()

        await deliver(10)
        await eventually(lambda: sent.frames[ACK] == 20)

    asked_for_and_reported = dict.fromkeys(PUBLISH, 20)
    acknowledged_by_both = {ACK: 20}
    assert {name: sent.frames[name] for name in (*PUBLISH, ACK)} == asked_for_and_reported | acknowledged_by_both
    assert len(mail_sink.received) == 11
