"""A subscription inside the process, with limited concurrency and an orderly stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shared.messaging.bus import Delivery, Handler, Outcome
from shared.messaging.handling import drain, outcome_of


class MemoryConsumption:
    def __init__(
        self, queue: str, handler: Handler, concurrency: int, on_stop: Callable[[MemoryConsumption], None]
    ) -> None:
        self.queue = queue
        self._handler = handler
        self._slots = asyncio.Semaphore(concurrency)
        self._on_stop = on_stop
        self._running: set[asyncio.Task[Outcome]] = set()
        self._stopped = False
        self.load = 0

    @property
    def live(self) -> bool:
        return not self._stopped

    async def handle(self, delivery: Delivery) -> Outcome | None:
        """The handler's outcome; None if this consumer was stopped first."""
        self.load += 1
        try:
            async with self._slots:
                return None if self._stopped else await self._run(delivery)
        finally:
            self.load -= 1

    async def _run(self, delivery: Delivery) -> Outcome | None:
        task = asyncio.create_task(outcome_of(self._handler, delivery, self.queue))
        self._running.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._running.discard(task)
            task.cancel()  # it still runs only if we are cancelled: the bus is closed
        return None if task.cancelled() else task.result()

    async def stop(self, grace: float) -> None:
        self._stopped = True
        self._on_stop(self)
        await drain(self._running, grace)
