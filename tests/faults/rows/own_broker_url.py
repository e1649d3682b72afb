"""For modules that break their broker: `amqp_url` is that of one which no other tests use."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.servers.own_broker import OwnBroker
from tests.servers.rabbitmq import declare_topology, delete_topology, emptied, until_names_are_kept


@pytest.fixture
async def amqp_url(broker: OwnBroker) -> AsyncIterator[str]:
    """Nothing is left for the next test but the topology as it should be."""
    await declare_topology(broker.url)
    await until_names_are_kept(broker.url)
    yield broker.url
    if not await emptied(broker.url):
        await delete_topology(broker.url)
