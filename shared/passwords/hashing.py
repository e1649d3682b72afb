"""Argon2id password hashing off the event loop; defaults are OWASP's minimum (19 MiB, 2 passes, 1 lane)."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Callable, Collection, Hashable
from contextlib import suppress
from typing import Self, TypeVar
from weakref import WeakSet

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, hash_secret_raw
from prometheus_client import Counter, Gauge, Histogram

from shared.configuration.settings import HttpSettings
from shared.observability import tracing
from shared.passwords import cpu_limit, foreign
from shared.passwords.threads import ThreadPool
from shared.web.problems import Unavailable

T = TypeVar("T")

_DERIVED_BYTES = 32

_SMOOTHING = 0.1  # weight of the newest duration in the mean

# Share of the queue for one holder (address or account), but at least one job per thread: a flood delays only itself.
_SHARE = 0.25

# Other threads have 0: under full load a hash gets about a tenth of their processor share.
_NICE = 10

SECONDS = Histogram(
    "login2fa_hash_seconds",
    "Time to hash one password, without its wait.",
    ["algorithm"],
    buckets=(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5),
)
WAITING = Gauge("login2fa_hash_waiting", "Passwords that wait for a thread.")
REFUSED = Counter("login2fa_hash_refused_total", "Passwords refused because too many were waiting.")

_ARGON2ID = "argon2id"
for _algorithm in (_ARGON2ID, *foreign.ALGORITHMS):
    SECONDS.labels(_algorithm)


class Passwords:
    """`threads`: 0 means one per usable processor. Jobs that would end after `max_wait` seconds are refused (503)."""

    def __init__(
        self, *, memory_kib: int = 19456, passes: int = 2, lanes: int = 1, threads: int = 0, max_wait: float = 5.0
    ) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._threads = threads or cpu_limit.usable()
        self._pool = ThreadPool(self._threads, "argon2", _give_way)
        self._max_wait = max_wait
        began = time.perf_counter()
        # Verified when no account has the name: equal time hides which names exist.
        self._nobody = self._hasher.hash(os.urandom(16).hex())
        self._duration = time.perf_counter() - began
        _ALL.add(self)

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
        """Raises `Unavailable` if the queue, or the share of one of the `holders`, is full."""
        return await self._run(lambda: self._hasher.hash(normalised(password)), holders)

    async def verify(self, password: str, stored: str | None, holders: Collection[Hashable] = ()) -> bool:
        """Whether `password` matches `stored`; takes as long without a hash. Raises `Unavailable` like `hash`."""
        if stored is not None and not foreign.is_own(stored):
            return await self._verify_foreign(password, stored, holders)
        matches = await self._run(lambda: self._matches(password, stored or self._nobody), holders)
        return matches and stored is not None

    async def _verify_foreign(self, password: str, stored: str, holders: Collection[Hashable]) -> bool:
        """Other systems hash what was typed, without NFKC."""
        try:
            known = foreign.read(stored)
        except foreign.HashNotKnown:
            return await self.verify(password, None, holders)
        return await self._run(lambda: known.matches(password.encode()), holders, known.algorithm)

    async def derive(self, secret: str, salt: bytes, holders: Collection[Hashable] = ()) -> bytes:
        """The hash alone, 32 bytes, at the cost of a password; the caller keeps the salt. Raises like `hash`."""
        return await self._run(lambda: self._derived(secret, salt), holders)

    @property
    def waiting(self) -> int:
        return max(0, self._pool.waiting - self._threads)

    def close(self) -> None:
        self._pool.close()

    def _derived(self, secret: str, salt: bytes) -> bytes:
        costs = self._hasher
        return hash_secret_raw(
            secret.encode(), salt, costs.time_cost, costs.memory_cost, costs.parallelism, _DERIVED_BYTES, Type.ID
        )

    def _matches(self, password: str, stored: str) -> bool:
        # An imported Argon2id hash may be that of what was typed.
        return any(self._is_of(stored, written) for written in dict.fromkeys((normalised(password), password)))

    def _is_of(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T], holders: Collection[Hashable] = (), algorithm: str = _ARGON2ID) -> T:
        self._refuse_beyond(self._max_wait, self._pool.waiting)
        for holder in holders:
            held = self._pool.held_by(holder)
            if held >= self._threads:
                self._refuse_beyond(self._max_wait * _SHARE, held)
        asked = time.perf_counter()
        with tracing.step(algorithm) as span:
            result, began = await self._pool.run(lambda: self._timed(work, algorithm), holders)
            if span is not None:
                span.note({"login2fa.queue_seconds": began - asked})
        return result

    def _refuse_beyond(self, longest: float, before: int) -> None:
        """`before`: jobs ahead. `longest`: seconds."""
        expected = (before + 1) * self._duration / self._threads
        if expected > longest:
            REFUSED.inc()
            raise Unavailable(retry_after=round(expected))

    def _timed(self, work: Callable[[], T], algorithm: str) -> tuple[T, float]:
        """The result, and when the work began."""
        began = time.perf_counter()
        try:
            return work(), began
        finally:
            seconds = time.perf_counter() - began
            if algorithm == _ARGON2ID:
                self._duration += _SMOOTHING * (seconds - self._duration)
            SECONDS.labels(algorithm).observe(seconds)


# More than one where services share a process.
_ALL: WeakSet[Passwords] = WeakSet()
WAITING.set_function(lambda: sum(each.waiting for each in _ALL))


def _give_way() -> None:
    """Without it, a token check waits as long as a hash. Linux only: elsewhere nice is per process."""
    if sys.platform != "linux":
        return
    with suppress(OSError):  # a sandbox may forbid it
        os.nice(_NICE)


def normalised(password: str) -> str:
    """NIST SP 800-63B section 3.1.1.2: NFKC, never truncated."""
    return unicodedata.normalize("NFKC", password)
