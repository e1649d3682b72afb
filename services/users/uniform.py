"""Answers that take the same time whether an address has an account or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def answered_at_the_deadline(seconds: float) -> AsyncIterator[None]:
    """The block ends `seconds` after it began, unless it takes longer or raises."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    yield
    await asyncio.sleep(max(0.0, deadline - loop.time()))
