"""Whether a message that arrives now was published a moment ago, or has waited somewhere for as long as it likes.

The broker hands over at once what a consumer has room for. So if this one has had room for a while, and was awake,
then nothing was waiting in its queue, and what comes now is new. Right after a connection, with every slot taken,
or in a process that was frozen, nobody can tell.
"""

from __future__ import annotations

import time

WHILE_SECONDS = 1.0


class Attention:
    """`asleep_after`: without a sign of life for so many seconds the process was frozen, or as good as that."""

    def __init__(self, asleep_after: float) -> None:
        self._asleep_after = asleep_after
        self._awake_at = self._since = time.monotonic()

    def begin(self) -> None:
        """A backlog may be waiting from now on, or have waited until now."""
        self._awake_at = self._since = time.monotonic()

    def awake(self) -> None:
        """To be called more often than every `asleep_after` seconds."""
        if self.asleep:
            self.begin()
        self._awake_at = time.monotonic()

    @property
    def caught_up(self) -> bool:
        """Whether what arrives now has just been published."""
        return not self.asleep and time.monotonic() - self._since >= WHILE_SECONDS

    @property
    def asleep(self) -> bool:
        """Whether it was frozen, and has given no sign of life since."""
        return time.monotonic() - self._awake_at > self._asleep_after
