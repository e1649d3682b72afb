"""Whether our mail gets as far as the mail server: it takes connections, and takes us for who we are.

What is said to MAIL, RCPT or DATA changes nothing here. It may be about one recipient, and what is said of one must not
count for another (docs/decisions/0007).
"""

from __future__ import annotations

import asyncio
import math
import time

import structlog
from prometheus_client import Gauge

log = structlog.get_logger()

REACHED = Gauge("login2fa_mail_server_reached", "1 while the mail server takes connections (or the file, lines).")


class Reach:
    """`turned` is set when it changes; whoever waits for that clears it."""

    def __init__(self) -> None:
        self.good = False
        self.turned = asyncio.Event()
        self._noted_at = -math.inf

    @property
    def age(self) -> float:
        """Seconds since it was last seen."""
        return time.monotonic() - self._noted_at

    def note(self, *, good: bool) -> None:
        if good != self.good:
            say, what = (log.info, "gets through") if good else (log.error, "does not get through")
            say(f"mail {what} to its server")
            self.turned.set()
        self.good = good
        self._noted_at = time.monotonic()
        REACHED.set(good)
