"""A server that a test may kill and freeze: it has it for itself, and what it wrote stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from testcontainers.core.container import DockerContainer


class Killable(Protocol):
    def kill(self) -> None:
        """Kill -9."""
        ...

    def start(self) -> None:
        """Again after `kill`, with its data; returns when it accepts connections."""
        ...

    def freeze(self) -> None:
        """It keeps its connections and says nothing any more."""
        ...

    def thaw(self) -> None: ...


class KillableContainer:
    """The engine's part of it; `start` returns at once. Its ports must be fixed: a free one changes with each start."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()
        self._container.get_wrapped_container().wait()

    def start(self) -> None:
        self._container.get_wrapped_container().start()

    def freeze(self) -> None:
        self._container.get_wrapped_container().pause()

    def thaw(self) -> None:
        self._container.get_wrapped_container().unpause()


@asynccontextmanager
async def killed(server: Killable) -> AsyncIterator[None]:
    """Dead inside the block; at its end it is started, and accepts connections."""
    await asyncio.to_thread(server.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def frozen(server: Killable) -> AsyncIterator[None]:
    await asyncio.to_thread(server.freeze)
    try:
        yield
    finally:
        await asyncio.to_thread(server.thaw)
