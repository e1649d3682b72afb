"""The load: requests over raw HTTP/1.1, closed loop or at a pace, from a process of its own.

`python -m tests.bench.load`: several `Job`s by name and a number of rounds come pickled on standard input; for each
turn of each of them a `Done` goes back as a line of JSON. An answer that was not expected ends it.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from tests.bench import cpu
from tests.bench.job import Done, Job
from tests.bench.measured import turns

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
ANSWER_SECONDS = 60.0
RETRY_SECONDS = 1.0  # as our `Retry-After` says


class _Connection(asyncio.Protocol):
    """One request at a time: `ask` sends it, and returns the status and all that was answered."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        assert self.transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._waiting is None:
            return
        length = _LENGTH.search(self._buffer, 0, end)
        if len(self._buffer) < end + 4 + (int(length[1]) if length else 0):
            return
        answer, self._buffer = self._buffer, b""
        if not self._waiting.done():
            self._waiting.set_result((int(answer[9:12]), answer))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("closed before the answer"))


class _Load:
    """Asks for what its job wants, again and again over the same connections; `run` is one turn of that."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._next = 0
        self._warm = job.warm
        self._idle: list[_Reached] | None = None

    async def run(self) -> Done:
        """The first turn only has answers that are not counted before those that are."""
        if self._idle is None:
            self._idle = [await self._reached(port) for port in self._spread()]
        self._turn = _Turn(self._job, self._warm)
        self._last = None if self._job.count is None else self._next + self._warm + self._job.count
        self._warm = 0
        async with asyncio.timeout(ANSWER_SECONDS + (self._job.seconds or ANSWER_SECONDS)):
            if self._job.every is not None:
                await self._paced(self._idle, self._job.every)
            else:
                await asyncio.gather(*map(self._loop, self._idle))
        return self._turn.done()

    def _spread(self) -> list[int]:
        ports = self._job.ports
        return [ports[number % len(ports)] for number in range(self._job.connections)]

    async def _reached(self, port: int) -> _Reached:
        return _Reached(port, await _connect(port) if self._job.kept else None)

    async def _loop(self, reached: _Reached) -> None:
        while (taken := self._take()) is not None:
            if await self._ask(reached, *taken) in self._job.tolerated:
                await asyncio.sleep(RETRY_SECONDS)

    async def _paced(self, idle: list[_Reached], every: float) -> None:
        """Each request on a connection of a pool, and on a new one when all of them wait."""
        loop, asking = asyncio.get_running_loop(), set[asyncio.Task[None]]()

        async def ask(number: int, request: bytes) -> None:
            reached = idle.pop() if idle else await self._reached(self._job.ports[0])
            await self._ask(reached, number, request)
            idle.append(reached)

        due = loop.time()
        while (taken := self._take()) is not None:
            asking.add(loop.create_task(ask(*taken)))
            due += every
            await asyncio.sleep(due - loop.time())
        await asyncio.gather(*asking)

    def _take(self) -> tuple[int, bytes] | None:
        job, number = self._job, self._next
        if self._turn.over or (self._last is not None and number >= self._last):
            return None
        if job.once and number >= len(job.requests):
            raise RuntimeError("fewer requests than answers that are wanted")
        self._next += 1
        return number, job.requests[number % len(job.requests)]

    async def _ask(self, reached: _Reached, number: int, request: bytes) -> int:
        began = time.monotonic()
        connection = reached.connection or await _connect(reached.port)
        status, answer = await connection.ask(request)
        if self._job.following is not None and status == self._job.expect:
            status, answer = await connection.ask(self._job.following(number % len(self._job.requests), answer))
        if reached.connection is None and connection.transport is not None:
            connection.transport.close()
        self._turn.count(number, began, status, answer)
        return status


@dataclass(frozen=True, slots=True)
class _Reached:
    """`connection`: None when each request has its own."""

    port: int
    connection: _Connection | None


async def _connect(port: int) -> _Connection:
    return (await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port))[1]


class _Turn:
    """What is counted of one turn: from the first answer after `warm` ones until its time is over, or all have come."""

    def __init__(self, job: Job, warm: int) -> None:
        self._job = job
        self._warm = warm
        self._seen = 0
        self._ends = float("inf")
        self._failed = False
        self._began = 0.0
        self._cpu: dict[str, float] = {}
        self._spent: dict[str, float] | None = None
        self._statuses: Counter[int] = Counter()
        self._wrong = ""
        self._latencies: list[float] = []
        self._answered: list[tuple[int, float]] = []
        if not warm:
            self._begin()

    @property
    def over(self) -> bool:
        return self._failed or time.monotonic() >= self._ends

    def count(self, number: int, began: float, status: int, answer: bytes) -> None:
        now = time.monotonic()
        if status != self._job.expect and status not in self._job.tolerated:
            self._failed, self._wrong = True, self._wrong or answer.decode(errors="replace")
        self._statuses[status] += 1
        self._seen += 1
        if self._seen == self._warm:
            self._begin()
        elif self._seen > self._warm and now < self._ends:
            self._latencies.append(now - began)
            self._answered.append((number, now))
        elif now >= self._ends:
            self._end()

    def done(self) -> Done:
        self._end()
        seconds = (self._answered[-1][1] if self._answered else time.monotonic()) - self._began
        return Done(
            count=len(self._latencies),
            seconds=seconds,
            statuses={str(status): count for status, count in self._statuses.items()},
            wrong=self._wrong,
            latencies=self._latencies,
            answered=self._answered,
            cpu=self._spent or {},
        )

    def _begin(self) -> None:
        self._cpu = {name: cpu.seconds(pids) for name, pids in self._job.watched.items()}
        self._began = time.monotonic()
        if self._job.seconds is not None:
            self._ends = self._began + self._job.seconds

    def _end(self) -> None:
        """At the first answer that is not counted: what is spent on those still under way is not counted either."""
        if self._spent is None and self._cpu:
            self._spent = {name: cpu.seconds(pids) - self._cpu[name] for name, pids in self._job.watched.items()}


async def _alternate(jobs: dict[str, Job], rounds: int) -> None:
    loads = {name: _Load(job) for name, job in jobs.items()}
    for number, name in enumerate(turns(jobs, rounds)):
        # Two rounds on each: every second one begins with the other side.
        with cpu.apart(jobs[name].apart, number // len(jobs) // 2):
            done = await loads[name].run()
        print(json.dumps({"side": name, "done": asdict(done)}), flush=True)
        if done.wrong:
            return


def main() -> None:
    uvloop.run(_alternate(*pickle.loads(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
