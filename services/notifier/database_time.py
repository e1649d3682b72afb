"""The clock of auth's database, as far as a process without a database can know it (docs/decisions/0008).

The relay stamps each message with the database's clock. Our steady clock minus that stamp is how far the two clocks
are apart, plus the time that the message has been on its way. So:

1. Every message says how far they are apart *at most*; more than it says was wrong.
2. A message that has been on its way for no time (`Delivery.fresh`) says how far they are apart.
3. Before the first of these, our wall clock is believed, as it was when we started. It is never looked at again, so
   that a step of it changes nothing.

4. Clocks that seem to be more than MOST_APART from where they were are not ours: the stamp is a stranger's.

By 1 and 2 the errors that remain make a code younger than it is, never older: in doubt it is delivered.
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
        """To be called as soon as a message has come."""
        if delivery.published_at is None:
            return  # of a publisher that does not stamp yet
        at_most = time.monotonic() - delivery.published_at.timestamp()
        if abs(at_most - self._believed) > MOST_APART:
            return
        if delivery.fresh or at_most < self._apart:
            self._apart = at_most
