"""Threads for work that takes long, told of several at a time while many wait.

What follows such work is short, and is done by the event loop; a password's hash has left nothing of it in the
processor's caches. One after the other, several of them find there what the first of them has fetched. So where there
is a queue, the first of a few results waits for the others, and all who are in it are answered sooner.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# So many results at most are told of together, and half of what waits beyond a few; the first of them waits so long.
# Eight would let in a few logins more a second, and a check of a token beside them wait longer: docs/performance.md.
_MOST = 4
_FEW = 2
_LONGEST = 0.2  # seconds


class ThreadPool:
    """`begin` is called in each thread."""

    def __init__(self, threads: int, name: str, begin: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=begin)
        self._ended: deque[tuple[Future[Any], asyncio.Future[Any], Collection[Hashable]]] = deque()
        self._first_ended = 0.0
        self.waiting = 0
        self._held: Counter[Hashable] = Counter()

    def held_by(self, holder: Hashable) -> int:
        """How much of what is `waiting` has this holder."""
        return self._held[holder]

    async def run(self, work: Callable[[], T], holders: Collection[Hashable] = ()) -> T:
        """Raises what `work` raises. It counts, for its holders too, until it ends, though its caller be gone."""
        loop = asyncio.get_running_loop()
        work_done, told = self._pool.submit(work), loop.create_future()
        self.waiting += 1
        self._held.update(holders)
        # Whoever is gone before it has begun needs no work to be done.
        told.add_done_callback(lambda told: told.cancelled() and work_done.cancel())

        def ended(work_done: Future[T]) -> None:
            if self._has_ended(work_done, told, holders):
                loop.call_soon_threadsafe(self._tell, loop)

        work_done.add_done_callback(ended)
        result: T = await told
        return result

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _has_ended(self, work_done: Future[T], told: asyncio.Future[T], holders: Collection[Hashable]) -> bool:
        """Called in any thread: whether to tell now.

        What is told of is counted down before it is taken from here: so whoever ends last of all sees nobody wait.
        """
        now = time.monotonic()
        if not self._ended:
            self._first_ended = now
        self._ended.append((work_done, told, holders))
        enough = min(_MOST, (self.waiting - _FEW) // 2)
        return len(self._ended) >= enough or now - self._first_ended > _LONGEST

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        """One of them; the next one after whatever is due by then, a probe of liveness for one."""
        if not self._ended:
            return
        self.waiting -= 1
        work_done, told, holders = self._ended.popleft()
        self._release(holders)
        if not told.done():
            if work_done.cancelled():
                told.cancel()
            elif (error := work_done.exception()) is not None:
                told.set_exception(error)
            else:
                told.set_result(work_done.result())
        loop.call_soon(self._tell, loop)

    def _release(self, holders: Collection[Hashable]) -> None:
        for holder in holders:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]
