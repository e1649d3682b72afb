"""Detects that the read model may be behind users, so that an unknown name may still be valid."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from prometheus_client import Gauge

from shared.messaging.backoff import CEILING
from shared.messaging.bus import Delivery, Handler, Outcome

LAG = Gauge(
    "login2fa_read_model_lag_seconds",
    "How late auth learns of changed accounts: the longest time of the last minute from the publication of a change to "
    "its arrival, or the time for which auth has had no consumer, if that is longer. It knows nothing of a change that "
    "users has not published: login2fa_outbox_oldest_seconds of users does.",
)

_LOOK_EVERY: Final = 0.1

# Seconds until waiting events arrive: users' relay pauses up to CEILING before it reconnects to the broker.
_CATCHING_UP: Final = 2 * CEILING

# Seconds that the longest delay counts. A change that can not be applied arrives again within 10 s.
_REMEMBERED: Final = 60.0


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
        self._longest = 0.0
        self._longest_at = self._last_received

    @property
    def behind(self) -> bool:
        return self._clock() < self._behind_until

    @property
    def lag(self) -> float:
        now = self._clock()
        longest = self._longest if now - self._longest_at < _REMEMBERED else 0.0
        return max(longest, now - self._last_received)

    def noting(self, handler: Handler) -> Handler:
        """The handler of the changes, with a note of how late each arrives."""

        async def note_and_handle(delivery: Delivery) -> Outcome:
            if delivery.published_at is not None:
                self.note((datetime.now(UTC) - delivery.published_at).total_seconds())
            return await handler(delivery)

        return note_and_handle

    def note(self, late: float) -> None:
        now = self._clock()
        if late >= self._longest or now - self._longest_at >= _REMEMBERED:
            self._longest, self._longest_at = late, now

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
