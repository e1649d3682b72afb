"""Pauses between attempts: they grow, to spare a broker in trouble; they are random, so that clients spread out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

FIRST = 0.2
CEILING = 5.0


def pauses() -> Iterator[float]:
    """Seconds, without end. Start a new iterator after each success."""
    pause = FIRST
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, CEILING)


async def wait(seconds: float, *until: asyncio.Event) -> None:
    """Return when the time is over or one of the events is set."""
    events = [asyncio.create_task(event.wait()) for event in until]
    try:
        await asyncio.wait(events, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for event in events:
            event.cancel()
