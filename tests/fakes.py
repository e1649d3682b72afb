"""Buses that get into trouble on command; both are the bus in memory, which passes tests/contracts/test_bus.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared.messaging.bus import BusUnavailable, Handler, Message
from shared.messaging.memory import MemoryBus
from shared.messaging.memory_consumer import MemoryConsumption
from tests.recording import Recorder


class TroubledBus(MemoryBus):
    """The bus in memory, which passes all of tests/contracts/test_bus.py, and trouble around its `publish`.

    `before` and `after` get each message ahead of its delivery and once it has been delivered; what they raise, or
    how long they take, is what the publisher sees. `attempts` keeps every message that was tried.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attempts: list[Message] = []
        self.before: Callable[[Message], Awaitable[None]] | None = None
        self.after: Callable[[Message], Awaitable[None]] | None = None

    @property
    def attempted(self) -> list[str]:
        return [message.event_id for message in self.attempts]

    async def publish(self, message: Message) -> None:
        self.attempts.append(message)
        if self.before is not None:
            await self.before(message)
        await super().publish(message)
        if self.after is not None:
            await self.after(message)


class HeldBus(MemoryBus):
    """Away for some events, so that a test can look at what waits in the outbox."""

    def __init__(self, *held: str) -> None:
        super().__init__()
        self.held = set(held)
        self.under_way = 0

    async def publish(self, message: Message) -> None:
        if message.routing_key in self.held:
            raise BusUnavailable("held by a test")
        self.under_way += 1
        try:
            await super().publish(message)
        finally:
            self.under_way -= 1


class StandInBus(MemoryBus):
    """Stands in for a service that a test may not have composed: who publishes for it would wait until it comes."""

    def __init__(self) -> None:
        super().__init__()
        self._stand_ins: dict[str, MemoryConsumption] = {}

    async def stand_in(self, queue: str) -> None:
        """Take what is in this queue, until its real consumer comes."""
        self._stand_ins[queue] = await super().consume(queue, Recorder(), concurrency=4)

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> MemoryConsumption:
        if (stand_in := self._stand_ins.pop(queue, None)) is not None:
            await stand_in.stop(grace=1)
        return await super().consume(queue, handler, concurrency=concurrency)
