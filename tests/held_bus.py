"""A bus that is away for some events, so that a test can look at what waits in the outbox."""

from __future__ import annotations

from shared.broker.bus import BusUnavailable, Message
from shared.broker.memory import MemoryBus


class HeldBus(MemoryBus):
    def __init__(self, *held: str) -> None:
        super().__init__()
        self.held = set(held)

    async def publish(self, message: Message) -> None:
        if message.routing_key in self.held:
            raise BusUnavailable("held by a test")
        await super().publish(message)
