"""A bus that gets into trouble on command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared.broker.bus import Message
from shared.broker.memory import MemoryBus


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
