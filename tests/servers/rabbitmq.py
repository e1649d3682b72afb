"""The RabbitMQ of a test run: one that was given, else a container, else a private node.

Never a broker that the tests neither started nor were given.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest
from testcontainers.core.container import DockerContainer

from deploy.images import images
from shared.messaging.amqp import topology
from shared.messaging.bus import TopologyMismatch
from tests.polling import eventually, wait_until
from tests.servers import apt, docker_engine
from tests.servers.amqp_greeting import server_version
from tests.servers.rabbitmq_node import NodeFailed, PrivateNode, installed_sbin
from tests.servers.vhosts import Vhosts

IMAGE = images()["RABBITMQ_IMAGE"]
CONTAINER_SECONDS = 120.0  # 10 s on a quiet machine
NONE_INSTALLED = (
    "The tests need RabbitMQ: install it (`apt-get install rabbitmq-server`; it need not run), or start a"
    f" Docker engine that can get {IMAGE}, or set TEST_RABBITMQ_URL to the amqp:// URL of a broker."
)


@dataclass(frozen=True)
class RabbitMQ:
    """A broker for this session. `vhosts` and `ctl` are None where the broker is not ours."""

    url: str
    described: str
    vhosts: Vhosts | None = None
    ctl: Callable[..., str] | None = None


def on_vhost(url: str, vhost: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{vhost}"))


@contextmanager
def running_rabbitmq() -> Iterator[RabbitMQ]:
    """Find or start the broker of this session, and stop it at the end if it was started here."""
    if given := os.environ.get("TEST_RABBITMQ_URL"):
        yield RabbitMQ(given, _described("given by TEST_RABBITMQ_URL", given))
    elif docker_engine.image_available(IMAGE):
        with _container() as broker:
            yield broker
    else:
        with private_node() as node:
            yield RabbitMQ(node.url, _described("private node", node.url), Vhosts(node.ctl, node.user), node.ctl)


@contextmanager
def _container() -> Iterator[RabbitMQ]:
    user, password = "tests", secrets.token_hex(16)
    container = DockerContainer(IMAGE).with_exposed_ports(5672)
    container.with_env("RABBITMQ_DEFAULT_USER", user).with_env("RABBITMQ_DEFAULT_PASS", password)

    def ctl(*arguments: str) -> str:
        done = container.exec(["rabbitmqctl", *arguments])
        assert done.exit_code == 0, done.output
        return str(done.output, "utf-8")

    with container:
        host, port = container.get_container_host_ip(), int(container.get_exposed_port(5672))
        wait_until(lambda: server_version(port, host), CONTAINER_SECONDS)
        url = f"amqp://{user}:{password}@{host}:{port}/"
        yield RabbitMQ(url, _described(f"container {IMAGE}", url), Vhosts(ctl, user), ctl)


def sbin() -> Path:
    """The scripts of the installed package, which root may have installed now."""
    found = installed_sbin()
    if found is None and apt.can_install() and apt.install("rabbitmq-server"):
        found = installed_sbin()
    return found or pytest.exit(NONE_INSTALLED, returncode=3)


@contextmanager
def private_node(kind: type[PrivateNode] = PrivateNode) -> Iterator[PrivateNode]:
    """Running; removed at the end."""
    node = kind(sbin())
    try:
        try:
            node.start()
        except NodeFailed as failure:
            pytest.exit(f"The private RabbitMQ node did not start:\n{failure}", returncode=3)
        yield node
    finally:
        node.remove()


def _described(kind: str, url: str) -> str:
    """For example `private node, version 3.10.8`; of a TLS URL the version is not asked."""
    parts = urlsplit(url)
    version = None
    if parts.scheme == "amqp" and parts.hostname:
        version = server_version(parts.port or 5672, parts.hostname)
    return f"{kind}, version {version or 'unknown'}"


@asynccontextmanager
async def empty_vhost(rabbitmq: RabbitMQ) -> AsyncIterator[str]:
    """The URL of a virtual host in which nothing is declared; where we may make none, of the one we were given."""
    if rabbitmq.vhosts:
        with rabbitmq.vhosts.one() as vhost:
            yield on_vhost(rabbitmq.url, vhost)
        return
    await delete_topology(rabbitmq.url)  # an interrupted run may have left its own
    yield rabbitmq.url
    await delete_topology(rabbitmq.url)


@asynccontextmanager
async def own_vhost(rabbitmq: RabbitMQ) -> AsyncIterator[str]:
    """As `vhost_with_topology`, for whoever leaves other queues or bindings in it: it is not used again."""
    async with empty_vhost(rabbitmq) as url:
        await declare_topology(url)
        yield url


@asynccontextmanager
async def vhost_with_topology(rabbitmq: RabbitMQ) -> AsyncIterator[str]:
    """The URL of a virtual host with the topology and no message, for one test at a time."""
    if not rabbitmq.vhosts:
        async with own_vhost(rabbitmq) as url:
            yield url
        return

    async def declare(vhost: str) -> None:
        await declare_topology(on_vhost(rabbitmq.url, vhost))

    async def empty(vhost: str) -> bool:
        return await emptied(on_vhost(rabbitmq.url, vhost))

    async with rabbitmq.vhosts.with_topology(declare, empty) as vhost:
        yield on_vhost(rabbitmq.url, vhost)


async def declare_topology(url: str) -> None:
    """As `login2fa topology` does it, but with all the time that a busy machine needs."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        await topology.declare(channel)


async def until_names_are_kept(url: str) -> None:
    """RabbitMQ holds the name of the last new quorum queue in memory for up to 3 s; killed meanwhile, that queue has no
    leader again. The name of another one makes it write all that came before.
    """
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        await channel.declare_queue("another", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.queue_delete("another")


async def emptied(url: str) -> bool:
    """Whether the topology is as it should be again, with no consumer and no message."""

    async def not_consumed(name: str) -> bool:
        # A message that a consumer has not settled comes back when the consumer goes.
        return not (await channel.declare_queue(name, passive=True)).declaration_result.consumer_count

    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        try:
            # Their bindings to a test's own queues go with them.
            for exchange in topology.exchanges():
                await channel.exchange_delete(exchange)
            await topology.declare(channel)
            for queue in topology.queues():
                await eventually(partial(not_consumed, queue))
            # Retry queues come after the work queue that they let their messages go to: so the last one first.
            for queue in reversed(topology.queues()):
                await (await channel.get_queue(queue, ensure=False)).purge()
        except (TopologyMismatch, AssertionError):
            return False
    return True


async def delete_topology(url: str) -> None:
    """Delete this project's queues and exchange, and nothing else: the broker at `url` is somebody's."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for queue in topology.queues():
            await channel.queue_delete(queue)
        for exchange in topology.exchanges():
            await channel.exchange_delete(exchange)
