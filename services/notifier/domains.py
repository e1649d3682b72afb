"""Remembers which recipient domains answered quickly or slowly. The data stays in this process."""

from __future__ import annotations

import time
from collections import OrderedDict

# From RCPT to the end of the mail. A mail server that queues mail answers in milliseconds.
SLOW_SECONDS = 2.0

QUICK_FOR = 3600.0
# Quick answers in between do not shorten it: else a domain could delay others again and again.
SLOW_FOR = 600.0
MOST_DOMAINS = 50_000


class Domains:
    def __init__(self) -> None:
        self._quick = _Remembered(QUICK_FOR)
        self._slow = _Remembered(SLOW_FOR)

    def answered(self, domain: str, seconds: float) -> None:
        (self._slow if seconds >= SLOW_SECONDS else self._quick).add(domain)

    def is_slow(self, domain: str) -> bool:
        return domain in self._slow

    def is_quick(self, domain: str) -> bool:
        return domain in self._quick and domain not in self._slow


class _Remembered:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: OrderedDict[str, float] = OrderedDict()

    def add(self, domain: str) -> None:
        self._since[domain] = time.monotonic()
        self._since.move_to_end(domain)
        if len(self._since) > MOST_DOMAINS:
            self._since.popitem(last=False)

    def __contains__(self, domain: str) -> bool:
        since = self._since.get(domain)
        return since is not None and time.monotonic() - since < self._seconds
