"""A subscription that waits for its service to be ready takes nothing before, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from shared.messaging import when_ready
from shared.messaging.bus import Handler, TopologyMismatch
from shared.messaging.memory import MemoryBus
from shared.messaging.memory_consumer import MemoryConsumption
from shared.messaging.signed import SignedBus
from shared.messaging.topology import OTP_DELIVERY
from shared.messaging.when_ready import WhenReady
from tests import edge_keys
from tests.polling import eventually
from tests.recording import Recorder, otp_message


class Damaged(MemoryBus):
    """Has no queue, as often as `mismatches` says."""

    mismatches = 0

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> MemoryConsumption:
        if self.mismatches:
            self.mismatches -= 1
            raise TopologyMismatch("by a test")
        return await super().consume(queue, handler, concurrency=concurrency)


class Service:
    """Ready when a test says so; it counts how often it is asked."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = SignedBus(bus, edge_keys.ALL)
        self.ready = False
        self.asked = 0
        self.seen = Recorder()

    async def is_ready(self) -> bool:
        self.asked += 1
        return self.ready

    async def begin(self) -> WhenReady:
        return await WhenReady.begin(self.bus, self.is_ready, OTP_DELIVERY.queue, self.seen, concurrency=1)


@pytest.fixture
async def bus(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Damaged]:
    monkeypatch.setattr(when_ready, "pauses", lambda: iter(lambda: 0.001, None))
    bus = Damaged()
    yield bus
    await bus.close()


@pytest.fixture
def service(bus: MemoryBus) -> Service:
    return Service(bus)


async def test_a_service_that_is_ready_consumes_at_once(service: Service) -> None:
    service.ready = True
    consumption = await service.begin()

    assert consumption.live
    await service.bus.publish(otp_message("one"))
    assert service.seen.event_ids == {"one"}


async def test_one_that_is_not_takes_nothing_and_begins_as_soon_as_it_is(service: Service) -> None:
    consumption = await service.begin()
    publishing = asyncio.create_task(service.bus.publish(otp_message("waits")))
    await eventually(lambda: service.asked > 3)
    assert not consumption.live
    assert service.seen.deliveries == []

    service.ready = True
    await publishing

    assert consumption.live
    assert service.seen.attempts == [1]


async def test_a_damaged_topology_fails_the_start_of_a_service_that_is_ready(bus: Damaged, service: Service) -> None:
    bus.mismatches, service.ready = 1, True
    with pytest.raises(TopologyMismatch):
        await service.begin()


async def test_one_that_shows_later_is_waited_for_too(bus: Damaged, service: Service) -> None:
    bus.mismatches = 2
    consumption = await service.begin()
    service.ready = True

    await eventually(lambda: consumption.live)
    assert bus.mismatches == 0


@pytest.mark.parametrize("ready", [True, False])
async def test_one_that_is_stopped_takes_nothing_more_and_is_not_live(service: Service, ready: bool) -> None:
    service.ready = ready
    consumption = await service.begin()

    await consumption.stop(grace=1)

    service.ready = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await service.bus.publish(otp_message(str(uuid4())))
    assert not consumption.live
    assert service.seen.deliveries == []
