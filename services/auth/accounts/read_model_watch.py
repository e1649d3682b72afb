"""Whether the read model may lack an account that users has: then a name that auth does not know may yet be right.

So it is while no consumer of the accounts has lived for longer than a login waits for one, and for a while after that:
what has waited at users is still to be published and applied.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from shared.messaging.backoff import CEILING

_LOOK_EVERY: Final = 0.1

# Seconds in which what has waited arrives: users' relay pauses for up to CEILING before it finds the broker again.
_CATCHING_UP: Final = 2 * CEILING


class ReadModelWatch:
    """`is_told`: whether a consumer lives; `patience`: how long a login waits for an account, in seconds."""

    def __init__(
        self, is_told: Callable[[], bool], *, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_told = is_told
        self._patience = patience
        self._clock = clock
        self._last_told = clock()
        self._behind_until = 0.0

    @property
    def behind(self) -> bool:
        return self._clock() < self._behind_until

    def look(self) -> None:
        now = self._clock()
        if self._is_told():
            self._last_told = now
        elif now - self._last_told > self._patience:
            self._behind_until = now + _CATCHING_UP

    async def look_forever(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(_LOOK_EVERY)
