"""Both buses behind one door, so that the same tests hold both to the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Protocol

import pytest

from shared.messaging.amqp import AmqpBus, dead_letters
from shared.messaging.bus import Bus, DeadLetter
from shared.messaging.memory import MemoryBus


class Broker(Protocol):
    """`bus` is what two processes of a deployment would have: on RabbitMQ two, in one process the same."""

    bus: Bus
    other_bus: Bus

    async def dead_letters(self) -> Sequence[DeadLetter]: ...


class InMemory:
    def __init__(self) -> None:
        self._bus = MemoryBus()
        self.bus: Bus = self._bus
        self.other_bus: Bus = self._bus

    async def dead_letters(self) -> Sequence[DeadLetter]:
        return self._bus.dead_letters


class OnRabbitMQ:
    def __init__(self, url: str) -> None:
        self._url = url
        self.bus: Bus = AmqpBus(url)
        self.other_bus: Bus = AmqpBus(url)

    async def dead_letters(self) -> Sequence[DeadLetter]:
        return await dead_letters.list(self._url)


@pytest.fixture(params=["memory", "amqp"])
def broker_factory(request: pytest.FixtureRequest) -> Callable[[], Broker]:
    if request.param == "memory":
        return InMemory
    url = request.getfixturevalue("amqp_url")  # not for the bus in memory: it needs no broker
    return lambda: OnRabbitMQ(url)


@pytest.fixture
async def broker(broker_factory: Callable[[], Broker]) -> AsyncIterator[Broker]:
    broker = broker_factory()
    yield broker
    await broker.bus.close()
    await broker.other_bus.close()


@pytest.fixture
def bus(broker: Broker) -> Bus:
    return broker.bus


Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


@pytest.fixture
async def spawn() -> AsyncIterator[Spawn]:
    """Start something that may take as long as its message: in memory, `publish` waits for the handlers."""
    tasks: list[asyncio.Task[None]] = []

    def start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(coroutine))
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
