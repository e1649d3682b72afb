"""A thread pool that delivers results in batches: a hash evicts the processor's caches, a batch refills them once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# A batch is half of the jobs beyond _FEW, at most _MOST: eight made token checks slower (docs/performance.md).
_MOST = 4
_FEW = 2
_LONGEST = 0.2  # seconds after the first result: then the next one flushes the batch


class ThreadPool:
    """`begin` runs first in each thread."""

    def __init__(self, threads: int, name: str, begin: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=begin)
        self._ended: deque[tuple[Future[Any], asyncio.Future[Any], Collection[Hashable]]] = deque()
        self._first_ended = 0.0
        self.waiting = 0
        self._held: Counter[Hashable] = Counter()

    def held_by(self, holder: Hashable) -> int:
        return self._held[holder]

    async def run(self, work: Callable[[], T], holders: Collection[Hashable] = ()) -> T:
        """Raises what `work` raises. A job counts for its holders until it ends, even if the caller is gone."""
        loop = asyncio.get_running_loop()
        work_done, answer = self._pool.submit(work), loop.create_future()
        self.waiting += 1
        self._held.update(holders)
        answer.add_done_callback(lambda answer: answer.cancelled() and work_done.cancel())

        def ended(work_done: Future[T]) -> None:
            if self._has_ended(work_done, answer, holders):
                loop.call_soon_threadsafe(self._deliver, loop)

        work_done.add_done_callback(ended)
        result: T = await answer
        return result

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _has_ended(self, work_done: Future[T], answer: asyncio.Future[T], holders: Collection[Hashable]) -> bool:
        """Any thread: whether to flush. `waiting` drops before a result is dequeued, so the last job always flushes."""
        now = time.monotonic()
        if not self._ended:
            self._first_ended = now
        self._ended.append((work_done, answer, holders))
        enough = min(_MOST, (self.waiting - _FEW) // 2)
        return len(self._ended) >= enough or now - self._first_ended > _LONGEST

    def _deliver(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver one result; the next one comes after callbacks that are due, such as a liveness probe."""
        if not self._ended:
            return
        self.waiting -= 1
        work_done, answer, holders = self._ended.popleft()
        self._held -= Counter(holders)  # forgets a holder without a job
        if not answer.done():
            if work_done.cancelled():
                answer.cancel()
            elif (error := work_done.exception()) is not None:
                answer.set_exception(error)
            else:
                answer.set_result(work_done.result())
        loop.call_soon(self._deliver, loop)
