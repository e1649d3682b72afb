"""Publishes with confirms in flight, no database; or with the rows of an outbox read first.

`python -m tests.bench.limits.publishes <dsn> <amqp url> <queue>`
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

from tests.bench import workers
from tests.bench.limits import broker, letters

TABLE = "bench_outbox"
_READ = f"SELECT id, body FROM {TABLE} WHERE id > $1 ORDER BY id LIMIT {broker.IN_FLIGHT}"
_FILL = f"INSERT INTO {TABLE} (body) SELECT replace($1, 'NUMBER', i::text) FROM generate_series(1, $2::bigint) AS i"


async def _main(dsn: str, url: str, queue: str) -> None:
    async with AsyncExitStack() as parts:
        database = await asyncpg.connect(dsn)
        parts.push_async_callback(database.close)
        await database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (id bigserial PRIMARY KEY, body text NOT NULL)")
        channel = await parts.enter_async_context(broker.channel(url))
        await broker.declare(channel, queue)

        async def batches() -> AsyncIterator[list[bytes]]:
            last = 0
            while rows := await database.fetch(_READ, last):
                last = rows[-1]["id"]
                yield [row["body"].encode() for row in rows]

        async def answer(command: dict[str, Any]) -> dict[str, Any]:
            count = command["count"]
            if command["do"] == "fill":
                await database.execute(f"TRUNCATE {TABLE} RESTART IDENTITY")
                await database.execute(_FILL, letters.body("mailNUMBER@bench.example"), count, timeout=60)
                return {}
            if command["do"] == "purge":
                await (await channel.get_queue(command["queue"])).purge()
                return {}
            began, used = time.monotonic(), time.process_time()
            if command["do"] == "publish rows":
                async for bodies in batches():
                    await broker.publish_all(channel, queue, bodies)
            else:
                body = letters.body("nobody@bench.example").encode()
                await broker.publish_all(channel, queue, (body for _ in range(count)))
            return {"seconds": time.monotonic() - began, "cpu": time.process_time() - used}

        await workers.answering(answer)


if __name__ == "__main__":
    workers.run(_main(*sys.argv[1:]))
