"""From a queue to the mail server, over connections that are kept (`python -m tests.bench.limits.courier`)."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import aiosmtplib

from tests.bench import workers
from tests.bench.limits import broker, letters

CONNECTIONS = 16


class Courier:
    """As many mails at a time as it has connections; each is opened when it is first needed, and kept."""

    def __init__(self, port: int, connections: int = CONNECTIONS) -> None:
        self._idle: asyncio.LifoQueue[aiosmtplib.SMTP] = asyncio.LifoQueue()
        for _ in range(connections):
            self._idle.put_nowait(aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False))

    async def deliver(self, body: bytes) -> None:
        recipient = letters.recipient_of(body)
        client = await self._idle.get()
        try:
            if not client.is_connected:
                await client.connect()
            await client.sendmail(letters.SENDER, [recipient], letters.mail(recipient))
        finally:
            self._idle.put_nowait(client)


async def _main(url: str, queue: str, smtp_port: str) -> None:
    async with AsyncExitStack() as parts:
        channel = await parts.enter_async_context(broker.channel(url))
        await broker.declare(channel, queue)
        await broker.consume(channel, queue, Courier(int(smtp_port)).deliver, prefetch=2 * CONNECTIONS)

        async def answer(_command: dict[str, Any]) -> dict[str, Any]:
            return {"cpu": time.process_time()}

        await workers.answering(answer)


if __name__ == "__main__":
    workers.run(_main(*sys.argv[1:]))
