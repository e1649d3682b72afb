"""A stack of three processes for all tests here, whose services each reach the broker through a proxy of their own.

A test may kill a process and cut the network; what it left broken is mended after it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.faults.secrecy import secrets_logged
from tests.servers.databases import copied
from tests.servers.mail import MailSink
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ, own_vhost
from tests.servers.tcp_proxy import TcpProxy, Way
from tests.stacks.processes import Processes, processes
from tests.stacks.standalone import Standalone, standalone

SERVICES = ("auth", "users", "notifier")


class Network:
    """The ways of `auth`, `users` and `notifier` to the broker, each through a proxy of its own."""

    def __init__(self, proxies: dict[str, TcpProxy]) -> None:
        self._proxies = proxies
        self._broken: set[str] = set()

    def cut(self, service: str) -> None:
        """The broker is unreachable."""
        self._broken.add(service)
        self._proxies[service].refuse()
        self._proxies[service].cut()

    def stall(self, service: str, *ways: Way) -> None:
        """The broker accepts connections and bytes, and never answers; with "back" it gets all that is sent to it."""
        self._broken.add(service)
        self._proxies[service].stall(*ways)

    def delay(self, service: str, seconds: float, *ways: Way) -> None:
        """What the broker says, or what is said to it, arrives so much later."""
        self._broken.add(service)
        self._proxies[service].delay(seconds, *ways)

    async def mend(self) -> None:
        """Let through what comes now; what was held back is lost."""
        for service in self._broken:
            proxy = self._proxies[service]
            proxy.refuse()
            proxy.cut()
            proxy.resume()
            await proxy.start()
        self._broken.clear()


@pytest.fixture(scope="package")  # ended before other tests use the same broker
async def running(
    postgres: Postgres, database_template: str, rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Processes, Network]]:
    async with AsyncExitStack() as parts:
        databases = await parts.enter_async_context(copied(postgres, database_template))
        amqp_url = await parts.enter_async_context(own_vhost(rabbitmq))
        mail = await parts.enter_async_context(MailSink())
        proxies = {name: TcpProxy.to_broker(amqp_url) for name in SERVICES}
        for proxy in proxies.values():
            await proxy.start()
            parts.push_async_callback(proxy.stop)
        urls = {name: proxy.url(amqp_url) for name, proxy in proxies.items()}
        folder = tmp_path_factory.mktemp("faults")
        stack = await parts.enter_async_context(processes(databases, amqp_url, mail, folder, **urls))
        yield stack, Network(proxies)


@pytest.fixture
def network(running: tuple[Processes, Network]) -> Network:
    return running[1]


@pytest.fixture
async def stack(running: tuple[Processes, Network]) -> AsyncIterator[Processes]:
    """Three processes, running and ready. A failing test shows what they have logged meanwhile.

    Whatever happens to them, they log no secret.
    """
    stack, network = running
    sizes = stack.log_sizes()
    yield stack
    print(stack.logged(sizes))
    stack.inbox.sink.accept()
    await network.mend()
    for program in stack.programs:
        program.disarm()
        program.thaw()
        if program.exit_code is not None:
            program.start()
    await stack.until_ready()
    assert secrets_logged(stack, sizes) == set()


@pytest.fixture
async def own_standalone() -> AsyncIterator[Standalone]:
    """What `make up` starts, for this test alone; not yet started."""
    async with standalone() as stack:
        yield stack
        print(stack.logged({}))
