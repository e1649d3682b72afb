"""Hashing whole passwords, off the event loop, and refusing before the queue grows long: shared.passwords.hashing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest

from shared.passwords import cpu_limit
from shared.passwords.hashing import Passwords
from shared.web.problems import Unavailable
from tests.metrics import sample
from tests.polling import eventually

CHEAP = {"memory_kib": 8, "passes": 1, "lanes": 1}


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(**CHEAP)
    yield passwords
    passwords.close()


async def test_only_the_right_password_matches(passwords: Passwords) -> None:
    stored = await passwords.hash("testtest11&@")
    assert await passwords.verify("testtest11&@", stored)
    for wrong in ("testtest11&", "testtest11&@ ", "Testtest11&@", "", stored):
        assert not await passwords.verify(wrong, stored)


async def test_the_same_password_never_gives_the_same_hash(passwords: Passwords) -> None:
    assert await passwords.hash("testtest11&@") != await passwords.hash("testtest11&@")


async def test_nobody_s_password_never_matches(passwords: Passwords) -> None:
    assert not await passwords.verify("testtest11&@", None)


@pytest.mark.parametrize(
    "stored", ["", "x", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA", "$2b$12$abcdefghijklmnopqrstuv", "\0"]
)
async def test_a_stored_hash_that_is_none_matches_nothing(passwords: Passwords, stored: str) -> None:
    assert not await passwords.verify("testtest11&@", stored)


async def test_a_long_password_is_used_whole_and_not_cut_at_72_bytes(passwords: Passwords) -> None:
    stored = await passwords.hash("x" * 127 + "a")
    assert await passwords.verify("x" * 127 + "a", stored)
    assert not await passwords.verify("x" * 127 + "b", stored)
    assert not await passwords.verify("x" * 72, stored)


@pytest.mark.parametrize(
    ("chosen", "typed"),
    [("Zo\u00eb-pass", "Zoe\u0308-pass"), ("\uff50\uff41ss", "pass"), ("\ufb01ne-pass", "fine-pass")],
)
async def test_a_password_is_the_same_however_a_keyboard_composes_it(
    passwords: Passwords, chosen: str, typed: str
) -> None:
    assert await passwords.verify(typed, await passwords.hash(chosen))


async def test_the_stored_hash_is_argon2id_with_owasp_s_parameters() -> None:
    passwords = Passwords()
    try:
        assert (await passwords.hash("testtest11&@")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    finally:
        passwords.close()


@pytest.mark.parametrize(("asked", "threads"), [(0, 5), (1, 1), (2, 2)])
async def test_as_many_are_hashed_at_a_time_as_was_asked_for_or_as_there_are_processors(
    monkeypatch: pytest.MonkeyPatch, asked: int, threads: int
) -> None:
    monkeypatch.setattr(cpu_limit, "usable", lambda: 5)
    passwords, hasher = Passwords(**CHEAP, threads=asked), SlowHasher()
    monkeypatch.setattr(passwords, "_hasher", hasher)
    tasks = [asyncio.create_task(passwords.hash("p")) for _ in range(8)]

    await eventually(lambda: hasher.started == threads)
    hasher.go_on.set()
    await asyncio.gather(*tasks)
    assert hasher.most_at_a_time == threads
    passwords.close()


class AsksForItsPriority:
    def hash(self, _password: str) -> str:
        return str(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))


async def test_what_hashes_lets_all_else_go_first(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", AsksForItsPriority())
    ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert int(await passwords.hash("p")) == min(ours + 10, 19)


async def test_where_priorities_are_forbidden_passwords_are_hashed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(_increment: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "nice", forbidden)
    passwords = Passwords(**CHEAP)
    assert await passwords.verify("p", await passwords.hash("p"))
    passwords.close()


class SlowHasher:
    """Hashes only when it is let, as a machine under load does."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.started = self.most_at_a_time = 0
        self._under_way = 0
        self._counting = threading.Lock()

    def hash(self, password: str) -> str:
        with self._counting:
            self.started += 1
            self._under_way += 1
            self.most_at_a_time = max(self.most_at_a_time, self._under_way)
        assert self.go_on.wait(30)
        with self._counting:
            self._under_way -= 1
        return f"hash of {password}"


class Queue:
    """A pool of one thread, for a container of one processor. A hash takes a second, and there is room for three."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cpu_limit, "usable", lambda: 1)
        self.passwords = Passwords(**CHEAP, max_wait=3.5)
        self.hasher = SlowHasher()
        monkeypatch.setattr(self.passwords, "_hasher", self.hasher)
        monkeypatch.setattr(self.passwords, "_duration", 1.0)

    async def filled(self) -> list[asyncio.Task[str]]:
        tasks = [asyncio.create_task(self.passwords.hash(f"p{number}")) for number in range(3)]
        await eventually(lambda: self.hasher.started == 1)
        return tasks


@pytest.fixture
async def queue(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    queue = Queue(monkeypatch)
    yield queue
    queue.hasher.go_on.set()
    queue.passwords.close()


async def test_what_could_not_be_done_in_time_is_refused_at_once_with_a_time_to_come_again(queue: Queue) -> None:
    waiting = await queue.filled()

    for refused in (queue.passwords.hash("one more"), queue.passwords.verify("one more", None)):
        with pytest.raises(Unavailable) as error:
            await refused
        assert error.value.headers == {"Retry-After": "4"}

    queue.hasher.go_on.set()
    assert await asyncio.gather(*waiting) == ["hash of p0", "hash of p1", "hash of p2"]


async def test_the_metrics_tell_who_waits_who_is_refused_and_how_long_a_hash_takes(queue: Queue) -> None:
    refused, hashed = sample("hash_refused_total"), sample("hash_seconds_count", algorithm="argon2id")
    jobs = await queue.filled()
    waiting = sample("hash_waiting")
    with pytest.raises(Unavailable):
        await queue.passwords.hash("one more")
    queue.hasher.go_on.set()
    await asyncio.gather(*jobs)

    assert (waiting, sample("hash_waiting")) == (2, 0)  # the third has a thread
    assert sample("hash_refused_total") == refused + 1
    assert sample("hash_seconds_count", algorithm="argon2id") == hashed + 3


async def test_room_in_the_queue_comes_back_when_work_ends(queue: Queue) -> None:
    waiting = await queue.filled()
    queue.hasher.go_on.set()
    await asyncio.gather(*waiting)

    assert await eventually(lambda: not queue.passwords._pool.waiting)
    assert await queue.passwords.hash("later") == "hash of later"


async def test_a_client_that_hangs_up_frees_no_thread_that_is_still_busy(queue: Queue) -> None:
    running, second, third = await queue.filled()

    running.cancel()
    await asyncio.wait([running])
    with pytest.raises(Unavailable):
        await queue.passwords.hash("one more")

    second.cancel()  # not begun yet: this one does make room
    await asyncio.wait([second])
    fourth = asyncio.create_task(queue.passwords.hash("p3"))
    await eventually(lambda: queue.passwords._pool.waiting == 3)
    queue.hasher.go_on.set()
    assert [await third, await fourth] == ["hash of p2", "hash of p3"]


async def test_the_event_loop_goes_on_while_passwords_are_hashed(queue: Queue) -> None:
    waiting = await queue.filled()
    turns = 0

    async def other_work() -> bool:
        nonlocal turns
        turns += 1
        return turns > 10

    assert await eventually(other_work)
    assert not any(task.done() for task in waiting)


class Shared(Queue):
    """Room for twelve: three for each holder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.passwords._max_wait = 12.5

    async def asked(self, times: int, *holders: str) -> list[asyncio.Task[str]]:
        before = self.passwords._pool.waiting
        tasks = [asyncio.create_task(self.passwords.hash("p", holders)) for _ in range(times)]
        await eventually(lambda: self.passwords._pool.waiting == before + times)
        return tasks


@pytest.fixture
async def shared(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shared]:
    shared = Shared(monkeypatch)
    yield shared
    shared.hasher.go_on.set()
    shared.passwords.close()


async def refused(asked: Coroutine[Any, Any, object]) -> str:
    with pytest.raises(Unavailable) as error:
        await asked
    return error.value.headers["Retry-After"]


async def test_one_holder_has_a_quarter_of_the_queue_and_is_refused_alone(shared: Shared) -> None:
    waiting = await shared.asked(3, "address", "name")

    assert await refused(shared.passwords.hash("p", ["address", "other name"])) == "4"
    assert await refused(shared.passwords.verify("p", None, ["other address", "name"])) == "4"

    waiting += await shared.asked(3, "other address", "other name")
    waiting += await shared.asked(6)  # nobody's share
    assert await refused(shared.passwords.hash("p", ["third"])) == "13"
    shared.hasher.go_on.set()
    assert await asyncio.gather(*waiting) == ["hash of p"] * 12


async def test_a_share_is_free_again_when_its_work_has_ended_and_not_when_its_caller_is_gone(shared: Shared) -> None:
    running, second, third = await shared.asked(3, "address")
    await eventually(lambda: shared.hasher.started == 1)

    running.cancel()
    await asyncio.wait([running])
    await refused(shared.passwords.hash("p", ["address"]))

    second.cancel()  # not begun yet
    await asyncio.wait([second])
    await eventually(lambda: shared.passwords._pool.held_by("address") == 2)
    (fourth,) = await shared.asked(1, "address")
    shared.hasher.go_on.set()
    await asyncio.gather(third, fourth)
    await eventually(lambda: shared.passwords._pool.held_by("address") == 0)
    assert not shared.passwords._pool._held


async def test_a_queue_too_short_to_be_shared_out_lets_one_holder_use_every_thread(shared: Shared) -> None:
    shared.passwords._max_wait = 2.0

    (only,) = await shared.asked(1, "address")
    await refused(shared.passwords.hash("p", ["address"]))

    shared.hasher.go_on.set()
    assert await only == "hash of p"


async def test_no_patience_at_all_refuses_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(**CHEAP, max_wait=1e-9)
    try:
        with pytest.raises(Unavailable) as error:
            await passwords.hash("testtest11&@")
        assert error.value.headers == {"Retry-After": "1"}
    finally:
        passwords.close()
