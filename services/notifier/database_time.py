"""The database's clock, estimated without a database connection (docs/decisions/0008).

The relay stamps each message with that clock. Our monotonic clock minus the stamp is the offset plus the transit time:

1. Each message gives an upper bound of the offset.
2. A message without transit time (`Delivery.fresh`) gives it. Errors make a code seem younger: it is delivered.
3. Until then the wall clock of our start is used. It is not read again: a step of it changes nothing.
4. A stamp that differs more than MOST_APART from that wall clock is ignored.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from shared.messaging.bus import Delivery

MOST_APART = 86400.0


class DatabaseTime:
    def __init__(self) -> None:
        self._apart = self._believed = time.monotonic() - time.time()

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.monotonic() - self._apart, UTC)

    def learn(self, delivery: Delivery) -> None:
        """Call on receipt of a message: a delay would count as transit time."""
        if delivery.published_at is None:
            return  # an older publisher does not stamp
        at_most = time.monotonic() - delivery.published_at.timestamp()
        if abs(at_most - self._believed) > MOST_APART:
            return
        if delivery.fresh or at_most < self._apart:
            self._apart = at_most
