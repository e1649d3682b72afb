"""Commit, confirmed publish, consume, SMTP, in one process: the way of a code and nothing else.

`python -m tests.bench.limits.chain <dsn> <amqp url> <queue> <smtp port>`: is asked for so many mails at a rate, and
answers when each was committed, by the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

from tests.bench import workers
from tests.bench.limits import broker, letters
from tests.bench.limits.courier import Courier

TABLE = "bench_chain"


async def _main(dsn: str, url: str, queue: str, smtp_port: str) -> None:
    async with AsyncExitStack() as parts:
        pool = await parts.enter_async_context(asyncpg.create_pool(dsn, min_size=2, max_size=2))
        await pool.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (id bigserial PRIMARY KEY, body text NOT NULL)")
        publishing = await parts.enter_async_context(broker.channel(url))
        await broker.declare(publishing, queue)
        consuming = await parts.enter_async_context(broker.channel(url))
        await broker.consume(consuming, queue, Courier(int(smtp_port)).deliver, prefetch=16)

        async def one(recipient: str) -> tuple[str, float]:
            body = letters.body(recipient)
            await pool.execute(f"INSERT INTO {TABLE} (body) VALUES ($1)", body)
            committed = time.monotonic()
            await broker.publish(publishing, queue, body.encode())
            return recipient, committed

        async def answer(command: dict[str, Any]) -> dict[str, Any]:
            sending, due = [], time.monotonic()
            for number in range(command["count"]):
                sending.append(asyncio.create_task(one(f"chain{number}@bench.example")))
                due += 1 / command["rate"]
                await asyncio.sleep(due - time.monotonic())
            return {"committed": dict(await asyncio.gather(*sending))}

        await workers.answering(answer)


if __name__ == "__main__":
    workers.run(_main(*sys.argv[1:]))
