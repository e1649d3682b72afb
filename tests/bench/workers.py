"""Processes of the bench's own: a line of JSON asks, a line of JSON answers; the end of their input ends them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Self

import uvloop

from tests.bench.loading import PROJECT, RowFailed
from tests.servers.leash import Leash, kill_group

# Any: answers are JSON.
Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Worker:
    """`python -m <module> <arguments>`, as an async context manager; `ask` it inside. Its errors go to ours."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]

    async def __aenter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(  # noqa: ASYNC220 - at once, and asked between measurements only
            self._command, cwd=PROJECT, stdin=pipe, stdout=pipe, start_new_session=True
        )
        self._leash = Leash(self._process.pid)
        self.ready = await self._answer()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leash.release()
        kill_group(self._process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, **command: Any) -> dict[str, Any]:
        """Raises `RowFailed` when it has died of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        if not line:
            raise RowFailed(f"{' '.join(self._command[2:4])} has ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


async def answering(answer: Answer, **ready: Any) -> None:
    """The worker's side: say that it is ready, then answer until nobody asks any more."""
    print(json.dumps(ready), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(json.loads(line))), flush=True)


def ends_with_its_input() -> None:
    """For a worker that answers nothing."""

    def watch() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def run(main: Awaitable[None]) -> None:
    async def _main() -> None:
        await main

    uvloop.run(_main())
