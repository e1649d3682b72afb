"""The load: requests over raw HTTP/1.1, closed loop or at a pace, from a process of its own.

`python -m tests.bench.load`: a `Job` comes pickled on standard input, a `Done` goes back as JSON.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import sys
import time
from collections import Counter
from dataclasses import asdict
from typing import cast

import uvloop

from tests.bench import cpu
from tests.bench.job import Done, Job

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
    def __init__(self, job: Job) -> None:
        self._job = job
        self._next = 0
        self._seen = 0
        self._ends = float("inf")
        self._over = False
        self.began = 0.0
        self.cpu: dict[str, float] = {}
        self.spent: dict[str, float] | None = None
        self.statuses: Counter[int] = Counter()
        self.wrong = ""
        self.latencies: list[float] = []
        self.answered: list[tuple[int, float]] = []
        if not job.warm:
            self._begin()

    async def run(self) -> Done:
        async with asyncio.timeout(ANSWER_SECONDS + (self._job.seconds or ANSWER_SECONDS)):
            if self._job.every is not None:
                await self._paced(self._job.every)
            else:
                await asyncio.gather(*(self._loop(port) for port in self._spread()))
        self._end()
        seconds = (self.answered[-1][1] if self.answered else time.monotonic()) - self.began
        return Done(
            count=len(self.latencies),
            seconds=seconds,
            statuses={str(status): count for status, count in self.statuses.items()},
            wrong=self.wrong,
            latencies=self.latencies,
            answered=self.answered,
            cpu=self.spent or {},
        )

    def _spread(self) -> list[int]:
        ports = self._job.ports
        return [ports[number % len(ports)] for number in range(self._job.connections)]

    async def _loop(self, port: int) -> None:
        connection = await self._connect(port) if self._job.kept else None
        while (taken := self._take()) is not None:
            if await self._ask(connection, port, *taken) in self._job.tolerated:
                await asyncio.sleep(RETRY_SECONDS)
        if connection is not None and connection.transport is not None:
            connection.transport.close()

    async def _paced(self, every: float) -> None:
        """Each request on a connection of a pool, and on a new one when all of them wait."""
        loop, idle = asyncio.get_running_loop(), [(await self._connect(port), port) for port in self._spread()]
        asking: set[asyncio.Task[None]] = set()

        async def ask(number: int, request: bytes) -> None:
            connection, port = idle.pop() if idle else (await self._connect(self._job.ports[0]), self._job.ports[0])
            await self._ask(connection, port, number, request)
            idle.append((connection, port))

        due = loop.time()
        while (taken := self._take()) is not None:
            asking.add(loop.create_task(ask(*taken)))
            due += every
            await asyncio.sleep(due - loop.time())
        await asyncio.gather(*asking)

    def _take(self) -> tuple[int, bytes] | None:
        job, number = self._job, self._next
        enough = job.count is not None and number >= job.warm + job.count
        if self._over or enough or time.monotonic() >= self._ends:
            return None
        if job.once and number >= len(job.requests):
            raise RuntimeError("fewer requests than answers that are wanted")
        self._next += 1
        return number, job.requests[number % len(job.requests)]

    async def _connect(self, port: int) -> _Connection:
        return (await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port))[1]

    async def _ask(self, connection: _Connection | None, port: int, number: int, request: bytes) -> int:
        began = time.monotonic()
        kept = connection is not None
        connection = connection or await self._connect(port)
        status, answer = await connection.ask(request)
        if not kept and connection.transport is not None:
            connection.transport.close()
        self._count(number, began, status, answer)
        return status

    def _count(self, number: int, began: float, status: int, answer: bytes) -> None:
        now = time.monotonic()
        if status != self._job.expect and status not in self._job.tolerated:
            self._over, self.wrong = True, self.wrong or answer.decode(errors="replace")
        self.statuses[status] += 1
        self._seen += 1
        if self._seen == self._job.warm:
            self._begin()
        elif self._seen > self._job.warm and now < self._ends:
            self.latencies.append(now - began)
            self.answered.append((number, now))
        elif now >= self._ends:
            self._end()

    def _begin(self) -> None:
        self.cpu = {name: cpu.seconds(pids) for name, pids in self._job.watched.items()}
        self.began = time.monotonic()
        if self._job.seconds is not None:
            self._ends = self.began + self._job.seconds

    def _end(self) -> None:
        """At the first answer that is not counted: what is spent on those still under way is not counted either."""
        if self.spent is None and self.cpu:
            self.spent = {name: cpu.seconds(pids) - self.cpu[name] for name, pids in self._job.watched.items()}


def main() -> None:
    job = pickle.loads(sys.stdin.buffer.read())
    done = uvloop.run(_Load(job).run())
    json.dump(asdict(done), sys.stdout)


if __name__ == "__main__":
    main()
