"""Detects that the read model may be behind users, so that an unknown name may still be valid."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from shared.messaging.backoff import CEILING

_LOOK_EVERY: Final = 0.1

# Seconds until waiting events arrive: users' relay pauses up to CEILING before it reconnects to the broker.
_CATCHING_UP: Final = 2 * CEILING


class ReadModelWatch:
    """`is_receiving`: whether the consumer is alive. `patience`: seconds that a login waits for an account."""

    def __init__(
        self, is_receiving: Callable[[], bool], *, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_receiving = is_receiving
        self._patience = patience
        self._clock = clock
        self._last_received = clock()
        self._behind_until = 0.0

    @property
    def behind(self) -> bool:
        return self._clock() < self._behind_until

    def look(self) -> None:
        now = self._clock()
        if self._is_receiving():
            self._last_received = now
        elif now - self._last_received > self._patience:
            self._behind_until = now + _CATCHING_UP

    async def look_forever(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(_LOOK_EVERY)
