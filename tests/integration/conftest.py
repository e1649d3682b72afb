"""A broker behind a proxy, so that the network in between can fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from shared.messaging.amqp import AmqpBus
from tests.servers.tcp_proxy import TcpProxy


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy.to_broker(amqp_url)
    await proxy.start()
    yield proxy
    proxy.resume()
    await proxy.stop()


@pytest.fixture
def proxied_url(proxy: TcpProxy, amqp_url: str) -> str:
    return proxy.url(amqp_url)


NewBus = Callable[..., AmqpBus]


@pytest.fixture
async def new_bus(amqp_url: str) -> AsyncIterator[NewBus]:
    """Makes buses on this test's virtual host, and closes them."""
    buses: list[AmqpBus] = []

    def make(*urls: str, heartbeat: int = 5) -> AmqpBus:
        buses.append(AmqpBus(*(urls or [amqp_url]), heartbeat=heartbeat))
        return buses[-1]

    yield make
    for bus in buses:
        await bus.close()


@pytest.fixture
async def operator(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    """A plain channel, for what an operator or a stranger does to the broker."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        yield channel
