"""Whether the mail server accepts our connections and login. A refused mail does not count (docs/decisions/0007)."""

from __future__ import annotations

import asyncio
import math
import time

import structlog
from prometheus_client import Gauge

log = structlog.get_logger()

REACHED = Gauge("login2fa_mail_server_reached", "1 while the mail server takes connections (or the file, lines).")


class Reach:
    """`turned` is set when `good` changes; the waiter clears it. `reason` says why `good` is false."""

    def __init__(self) -> None:
        self.good = False
        self.reason = "no connection has been made yet"
        self.turned = asyncio.Event()
        self._noted_at = -math.inf

    @property
    def age(self) -> float:
        """Seconds since the last `note`."""
        return time.monotonic() - self._noted_at

    def note(self, *, good: bool, reason: str = "") -> None:
        if good and not self.good:
            log.info("mail gets through to its server")
        elif not good and (self.good or math.isinf(self._noted_at)):  # the first time, too
            log.error("mail does not get through to its server", reason=reason)
        if good != self.good:
            self.turned.set()
        self.good = good
        self.reason = reason
        self._noted_at = time.monotonic()
        REACHED.set(good)
