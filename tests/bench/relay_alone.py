"""The relay of auth and nothing else in one process.

`python -m tests.bench.relay_alone <url> <amqp url, or "instant">`

`drain` so many events that are in the outbox. "instant" is a bus that confirms at once: what is left is the database.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from services.auth.tables import outbox
from shared.database.pool import Database
from shared.messaging.amqp import AmqpBus
from shared.messaging.bus import Bus, Message
from shared.messaging.memory import MemoryBus
from shared.messaging.outbox_metrics import PUBLISHED
from shared.messaging.relay import Relay
from shared.messaging.signed import SignedBus
from shared.observability import logs
from tests import edge_keys
from tests.bench import workers


class _Instant(MemoryBus):
    async def publish(self, message: Message) -> None:
        pass


def _published() -> float:
    """Of this one counter only: to ask all metrics every few milliseconds took an eighth of the relay's time."""
    samples = (sample for metric in PUBLISHED.collect() for sample in metric.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


async def _main(url: str, amqp_url: str) -> None:
    logs.configure("relay", "warning")
    bus: Bus = _Instant() if amqp_url == "instant" else AmqpBus(amqp_url, name="bench relay")
    database = Database(url)

    async def answer(command: dict[str, Any]) -> dict[str, Any]:
        wanted = _published() + command["count"]
        relay = Relay("auth", database, outbox, SignedBus(bus, edge_keys.ALL))
        began, used = time.monotonic(), time.process_time()
        relay.start()
        while _published() < wanted:  # noqa: ASYNC110 - the relay tells of its progress by this counter only
            await asyncio.sleep(0.002)
        done = {"seconds": time.monotonic() - began, "cpu": time.process_time() - used}
        await relay.stop(5)
        return done

    await workers.answering(answer)


if __name__ == "__main__":
    workers.run(_main(*sys.argv[1:]))
