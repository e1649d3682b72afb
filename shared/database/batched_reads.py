"""Combines concurrent reads into one statement, a DataLoader without a cache: it saves round trips to Postgres.

1. No result is reused: a statement begins after all reads that it answers were requested.
2. Reads that arrive while a statement runs share the next one.
3. A statement that hangs blocks nobody: after `_PATIENCE` seconds its reads are tried once more, with the waiting ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

_PATIENCE = 0.25
_MOST = 500


@dataclass(slots=True, eq=False)
class _Read(Generic[Key, Value]):
    key: Key
    value: asyncio.Future[Value | None]
    repeated: bool = False


class BatchedReads(Generic[Key, Value]):
    """`load` returns the values of the keys; a key that it leaves out has the value None."""

    def __init__(self, load: Callable[[AbstractSet[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._load = load
        self._waiting: list[_Read[Key, Value]] = []
        self._current: asyncio.Task[None] | None = None
        self._batches: set[asyncio.Task[None]] = set()

    async def get(self, key: Key) -> Value | None:
        """Raises what `load` raises."""
        read: _Read[Key, Value] = _Read(key, asyncio.get_running_loop().create_future())
        self._waiting.append(read)
        if self._current is None:
            self._begin()
        return await read.value

    def _begin(self) -> None:
        self._current = None
        if not self._waiting:
            return
        self._current = asyncio.create_task(self._run_batch(), name="batched reads")
        self._batches.add(self._current)  # the loop holds tasks weakly: one that hangs could be garbage-collected
        self._current.add_done_callback(self._ended)

    def _ended(self, batch: asyncio.Task[None]) -> None:
        self._batches.discard(batch)
        if self._current is batch:
            self._begin()

    def _try_again(self, reads: list[_Read[Key, Value]]) -> None:
        again = [read for read in reads if not read.value.done() and not read.repeated]
        for read in again:
            read.repeated = True
        self._waiting[:0] = again
        self._begin()

    async def _run_batch(self) -> None:
        reads, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        overdue = asyncio.get_running_loop().call_later(_PATIENCE, self._try_again, reads)
        try:
            values = await self._load({read.key for read in reads})
            for read in reads:
                if not read.value.done():  # its client may have hung up
                    read.value.set_result(values.get(read.key))
        except Exception as error:  # noqa: BLE001 - raised in each read
            for read in reads:
                if not read.value.done():
                    read.value.set_exception(error)
        finally:
            overdue.cancel()
            for read in reads:
                read.value.cancel()  # if the batch was cancelled, its reads would wait for ever
