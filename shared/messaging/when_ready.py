"""A subscription that starts when its database is ready: earlier it would take events from replicas that are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

import structlog

from shared.messaging.backoff import pauses
from shared.messaging.bus import Consumption, Handler
from shared.messaging.signed import SignedBus

log = structlog.get_logger()


class WhenReady:
    def __init__(self, queue: str, consume: Callable[[], Awaitable[Consumption]]) -> None:
        self._queue = queue
        self._consume = consume
        self._begun: Consumption | None = None
        self._waiting: asyncio.Task[None] | None = None

    @classmethod
    async def begin(
        cls, bus: SignedBus, ready: Callable[[], Awaitable[bool]], queue: str, handler: Handler, *, concurrency: int
    ) -> Self:
        """See `Bus.consume`, also for its errors: at once if `ready` is true, else as soon as it is."""
        bus.initialise(queue)  # `consume` may come much later
        made = cls(queue, lambda: bus.consume(queue, handler, concurrency=concurrency))
        if await ready():
            made._begun = await made._consume()
        else:
            made._waiting = asyncio.create_task(made._begin_later(ready), name=f"begin {queue}")
        return made

    @property
    def live(self) -> bool:
        return self._begun is not None and self._begun.live

    async def stop(self, grace: float) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait({self._waiting})
        if self._begun is not None:
            await self._begun.stop(grace)

    async def _begin_later(self, ready: Callable[[], Awaitable[bool]]) -> None:
        log.warning("not consuming before the database is ready", queue=self._queue)
        waits = pauses()
        while self._begun is None:
            await asyncio.sleep(next(waits))
            try:
                if await ready():
                    self._begun = await self._consume()
            except Exception as error:  # noqa: BLE001 - the cause may pass, so try again
                log.error(  # noqa: TRY400 - repeated every few seconds, a traceback would bury the text
                    "not consuming", queue=self._queue, error=f"{type(error).__name__}: {error}"
                )
