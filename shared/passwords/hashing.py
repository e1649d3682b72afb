"""Password hashing with Argon2id, off the event loop, in a pool that refuses rather than collapses.

Parameters are OWASP's minimum by default (19 MiB, 2 passes, 1 lane). Text is normalised by NFKC first
(NIST SP 800-63B section 3.1.1.2), and used whole.

The queue is shared out: one holder, an address or an account, has at most a quarter of it. So whoever floods us with
passwords waits and is refused alone.
"""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Callable, Collection, Hashable
from contextlib import suppress
from typing import Self, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shared.configuration.settings import HttpSettings
from shared.passwords import cpu_limit
from shared.passwords.threads import ThreadPool
from shared.web.problems import Unavailable

T = TypeVar("T")

# Weight of the newest measurement in the running mean of a hash's duration.
_SMOOTHING = 0.1

# Of the queue, for one holder; but as much as can be under way at a time, however short the queue is.
_SHARE = 0.25

# What is added to the 0 of the other threads: about a tenth of their share, where all want more than there is.
_NICE = 10


class Passwords:
    """A pool of `threads`; of 0 as wide as the machine, or as its container is allowed to be.

    Work that could not finish within `max_wait` seconds is refused (503), and so is what exceeds a holder's share.
    """

    def __init__(
        self, *, memory_kib: int = 19456, passes: int = 2, lanes: int = 1, threads: int = 0, max_wait: float = 5.0
    ) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._threads = threads or cpu_limit.usable()
        self._pool = ThreadPool(self._threads, "argon2", _give_way)
        self._max_wait = max_wait
        began = time.perf_counter()
        # Compared against when no account has the submitted name, so that the answer takes as long.
        self._nobody = self._hasher.hash(os.urandom(16).hex())
        self._duration = time.perf_counter() - began

    @classmethod
    def of(cls, settings: HttpSettings) -> Self:
        return cls(
            memory_kib=settings.argon2_memory_kib,
            passes=settings.argon2_passes,
            lanes=settings.argon2_lanes,
            threads=settings.hash_threads,
            max_wait=settings.hash_max_wait,
        )

    async def hash(self, password: str, holders: Collection[Hashable] = ()) -> str:
        """Raises `Unavailable` when too many are waiting, or too many of one of the `holders`."""
        return await self._run(lambda: self._hasher.hash(normalised(password)), holders)

    async def verify(self, password: str, stored: str | None, holders: Collection[Hashable] = ()) -> bool:
        """Whether `password` belongs to the `stored` hash; costs the same without one. Raises as `hash`."""
        matches = await self._run(lambda: self._matches(password, stored or self._nobody), holders)
        return matches and stored is not None

    def close(self) -> None:
        self._pool.close()

    def _matches(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, normalised(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T], holders: Collection[Hashable] = ()) -> T:
        self._refuse_beyond(self._max_wait, self._pool.waiting)
        for holder in holders:
            held = self._pool.held_by(holder)
            if held >= self._threads:
                self._refuse_beyond(self._max_wait * _SHARE, held)
        return await self._pool.run(lambda: self._timed(work), holders)

    def _refuse_beyond(self, longest: float, before: int) -> None:
        """`before`: how many have to be done first."""
        expected = (before + 1) * self._duration / self._threads
        if expected > longest:
            raise Unavailable(retry_after=round(expected))

    def _timed(self, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self._duration += _SMOOTHING * (time.perf_counter() - began - self._duration)


def _give_way() -> None:
    """Let all other threads go first: beside two of these a token check waited for as long as a hash takes.

    On Linux it is the thread's own, elsewhere that of the process. A sandbox may forbid it.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError):
        os.nice(_NICE)


def normalised(password: str) -> str:
    return unicodedata.normalize("NFKC", password)
