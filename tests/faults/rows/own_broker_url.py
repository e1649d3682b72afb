"""For modules that break their broker: `amqp_url` is that of one which no other tests use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.servers.own_broker import OwnBroker
from tests.servers.rabbitmq import delete_topology


@pytest.fixture
async def amqp_url(broker: OwnBroker) -> AsyncIterator[str]:
    """The next test finds nothing declared."""
    yield broker.url
    await delete_topology(broker.url)


@asynccontextmanager
async def killed(broker: OwnBroker) -> AsyncIterator[None]:
    """Kill -9; at the end of the block it is started, and accepts connections."""
    await asyncio.to_thread(broker.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.start)


@asynccontextmanager
async def frozen(broker: OwnBroker) -> AsyncIterator[None]:
    await asyncio.to_thread(broker.freeze)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.thaw)
