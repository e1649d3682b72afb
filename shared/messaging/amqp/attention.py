"""Tells whether a message that arrives now is new: a consumer that has had room for a second has no backlog."""

from __future__ import annotations

import time

WHILE_SECONDS = 1.0


class Attention:
    """`asleep_after`: seconds without a sign of life after which the process counts as frozen."""

    def __init__(self, asleep_after: float) -> None:
        self._asleep_after = asleep_after
        self._awake_at = self._since = time.monotonic()

    def begin(self) -> None:
        self._awake_at = self._since = time.monotonic()

    def awake(self) -> None:
        """Call it more often than every `asleep_after` seconds."""
        if self.asleep:
            self.begin()
        self._awake_at = time.monotonic()

    @property
    def caught_up(self) -> bool:
        """Whether a message that arrives now was just published."""
        return not self.asleep and time.monotonic() - self._since >= WHILE_SECONDS

    @property
    def asleep(self) -> bool:
        return time.monotonic() - self._awake_at > self._asleep_after
