"""Of work that takes long several results are told of together while many wait, and none is forgotten: ThreadPool."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from shared.passwords import threads as thread_module
from shared.passwords.threads import ThreadPool
from tests.polling import eventually


class Workshop:
    """One thread, and work that ends when it is let; `told` has the numbers of that whose end is known."""

    def __init__(self, threads: int = 1) -> None:
        self.pool = ThreadPool(threads, "work", lambda: None)
        self.begun = 0
        self.told: list[int] = []
        self._may_end = threading.Semaphore(0)
        self._tasks: list[asyncio.Task[None]] = []

    def ask(self, pieces: int) -> None:
        self._tasks += [asyncio.create_task(self._one(number)) for number in range(pieces)]

    async def end(self, pieces: int) -> None:
        """Return when the next one has begun: all that follows from the end of those before has then been done."""
        next_one = self.begun + pieces
        self._may_end.release(pieces)
        assert await eventually(lambda: self.begun == next_one)

    def close(self) -> None:
        self._may_end.release(1000)
        self.pool.close()

    async def _one(self, number: int) -> None:
        await self.pool.run(self._work)
        self.told.append(number)

    def _work(self) -> None:
        self.begun += 1
        assert self._may_end.acquire(timeout=30)


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    monkeypatch.setattr(thread_module, "_LONGEST", 60.0)  # however slow the machine is
    workshop = Workshop()
    yield workshop
    workshop.close()


async def begun(workshop: Workshop, pieces: int) -> None:
    workshop.ask(pieces)
    assert await eventually(lambda: workshop.begun == 1)


async def several_turns_of_the_loop() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_while_ten_wait_four_are_told_of_together(workshop: Workshop) -> None:
    await begun(workshop, 10)

    await workshop.end(3)
    await several_turns_of_the_loop()
    assert workshop.told == []

    await workshop.end(1)
    assert await eventually(lambda: workshop.told == list(range(4)))


async def test_while_few_wait_each_is_told_of_at_once(workshop: Workshop) -> None:
    await begun(workshop, 4)

    await workshop.end(1)
    assert await eventually(lambda: workshop.told == [0])


async def test_the_first_waits_no_longer_for_the_others_than_it_may(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_module, "_LONGEST", -1.0)
    await begun(workshop, 10)

    await workshop.end(1)
    assert await eventually(lambda: workshop.told == [0])


async def test_whatever_else_is_due_has_its_turn_between_two_of_them(workshop: Workshop) -> None:
    turns, seen = 0, dict[int, int]()

    async def other_work() -> None:
        nonlocal turns
        while len(workshop.told) < 4:
            turns += 1
            seen.setdefault(len(workshop.told), turns)
            await asyncio.sleep(0)

    await begun(workshop, 10)
    other = asyncio.create_task(other_work())
    await workshop.end(4)
    await other
    assert sorted(seen) == list(range(4))


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("pieces", [1, 7, 500])
async def test_nothing_that_has_ended_is_forgotten(monkeypatch: pytest.MonkeyPatch, threads: int, pieces: int) -> None:
    monkeypatch.setattr(thread_module, "_LONGEST", 60.0)
    pool = ThreadPool(threads, "work", lambda: None)
    try:
        for _ in range(10):
            async with asyncio.timeout(30):
                found = await asyncio.gather(*(pool.run(twice(number)) for number in range(pieces)))
            assert found == [2 * number for number in range(pieces)]
            assert pool.waiting == 0
    finally:
        pool.close()


def twice(number: int) -> Callable[[], int]:
    return lambda: 2 * number


async def test_what_fails_fails_where_it_was_asked_for(workshop: Workshop) -> None:
    def fail() -> None:
        raise MemoryError("19 MiB")

    with pytest.raises(MemoryError, match="19 MiB"):
        await workshop.pool.run(fail)


async def test_what_has_not_begun_when_the_pool_is_closed_is_cancelled(workshop: Workshop) -> None:
    await begun(workshop, 1)
    waiting = asyncio.create_task(workshop.pool.run(lambda: None))
    await several_turns_of_the_loop()

    workshop.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
