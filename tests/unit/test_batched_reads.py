"""Questions of the same moment share one read, and no answer is older than it: shared.database.batched_reads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import pytest

from shared.database.batched_reads import BatchedReads
from tests.polling import eventually


class Source:
    """What it says can be changed at any time; reads can be made to wait."""

    def __init__(self) -> None:
        self.says: dict[int, str] = dict.fromkeys(range(100), "one")
        self.reads: list[set[int]] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.fails: Exception | None = None

    async def read(self, asked: AbstractSet[int]) -> Mapping[int, str]:
        self.reads.append(set(asked))
        await self.answering.wait()
        if self.fails is not None:
            raise self.fails
        return {number: self.says[number] for number in asked if number in self.says}


async def test_what_is_asked_at_the_same_moment_is_one_read() -> None:
    source = Source()
    together = BatchedReads(source.read)
    answers = await asyncio.gather(*(together.get(number % 50) for number in range(100)))
    assert answers == ["one"] * 100
    assert source.reads == [set(range(50))]


async def test_what_is_asked_while_a_read_is_under_way_is_answered_by_the_next() -> None:
    source = Source()
    together = BatchedReads(source.read)
    source.answering.clear()
    first = asyncio.create_task(together.get(1))
    await eventually(lambda: source.reads)

    later = [asyncio.create_task(together.get(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    source.says[1] = "two"
    source.answering.set()

    assert await asyncio.gather(*later) == ["two", "one"]
    await first
    assert source.reads == [{1}, {1, 2}]


async def test_no_answer_is_kept() -> None:
    source = Source()
    together = BatchedReads(source.read)
    assert await together.get(1) == "one"
    del source.says[1]
    assert await together.get(1) is None


async def test_a_failure_is_told_to_all_who_asked_and_to_nobody_later() -> None:
    source = Source()
    together = BatchedReads(source.read)
    source.fails = ConnectionError()
    failed = await asyncio.gather(*(together.get(number) for number in range(3)), return_exceptions=True)
    assert failed == [source.fails] * 3
    source.fails = None
    assert await together.get(1) == "one"


async def test_one_who_hangs_up_takes_no_answer_from_the_others() -> None:
    source = Source()
    together = BatchedReads(source.read)
    source.answering.clear()
    gone, waiting = (asyncio.create_task(together.get(1)) for _ in range(2))
    await eventually(lambda: source.reads)
    gone.cancel()
    source.answering.set()
    assert await waiting == "one"
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_read_that_hangs_stops_neither_who_asked_it_nor_who_comes_later() -> None:
    source = Source()
    together = BatchedReads(source.read)
    source.answering.clear()
    first = asyncio.create_task(together.get(1))
    await eventually(lambda: source.reads)
    hanging, source.answering = source.answering, asyncio.Event()
    source.answering.set()

    assert await together.get(2) == await first == "one"
    assert source.reads == [{1}, {1, 2}]
    hanging.set()
