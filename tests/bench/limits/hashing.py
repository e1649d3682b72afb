"""Password verifications and nothing else, in as many threads as asked (`python -m tests.bench.limits.hashing`)."""

from __future__ import annotations

import asyncio
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from argon2 import PasswordHasher

from tests.bench import workers


async def _answer(command: dict[str, Any]) -> dict[str, Any]:
    hasher, hashes, password = PasswordHasher(), itertools.cycle(command["hashes"]), command["password"]
    ends = time.monotonic() + command["seconds"]

    def loop() -> int:
        count = 0
        while time.monotonic() < ends:
            hasher.verify(next(hashes), password)
            count += 1
        return count

    began, used = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(command["threads"]) as threads:
        futures = [asyncio.get_running_loop().run_in_executor(threads, loop) for _ in range(command["threads"])]
        count = sum(await asyncio.gather(*futures))
    return {"count": count, "seconds": time.monotonic() - began, "cpu": time.process_time() - used}


if __name__ == "__main__":
    workers.run(workers.answering(_answer))
