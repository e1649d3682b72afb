"""Closes pooled connections: each at an age, also one that is idle, and all idle ones when their server is lost.

A connection stays with the server, and in session mode with the PgBouncer, that it was made to: without an end, neither
could be stopped in order, and after a restart all connections would stay with the others.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

RETURNED = "login2fa.returned"
_TIMER = "login2fa.timer"
_OLD = "login2fa.old"


class Connections:
    """Each lives for half of `max_age` seconds to all: else all would end at once. `RETURNED` in its info is a time."""

    def __init__(self, engine: AsyncEngine, max_age: float) -> None:
        self._max_age = max_age
        self._entries: WeakSet[ConnectionPoolEntry] = WeakSet()
        event.listen(engine.sync_engine, "connect", self._made)
        event.listen(engine.sync_engine, "checkin", self._returned)
        event.listen(engine.sync_engine, "close", self._closed)

    def close_idle(self) -> None:
        """Soon, without a word to the server, which may not answer. Pool events call it, which must not wait."""
        asyncio.get_running_loop().call_soon(self._close_idle)

    def _close_idle(self) -> None:
        for entry in self._entries:
            if not entry.in_use and RETURNED in entry.info:  # if not: it is being made
                entry.invalidate()

    def _made(self, _connection: Any, entry: ConnectionPoolEntry) -> None:
        self._entries.add(entry)
        age = self._max_age * random.uniform(0.5, 1)  # noqa: S311 - spreads load, hides nothing
        entry.info[_TIMER] = asyncio.get_running_loop().call_later(age, self._grown_old, entry)

    def _grown_old(self, entry: ConnectionPoolEntry) -> None:
        if entry.in_use:
            entry.info[_OLD] = True
        else:
            entry.invalidate()  # the next checkout makes a new one

    def _returned(self, _connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info[RETURNED] = time.monotonic()
        if _OLD in entry.info:
            entry.invalidate()

    def _closed(self, _connection: Any, entry: ConnectionPoolEntry) -> None:
        if timer := entry.info.pop(_TIMER, None):
            timer.cancel()
