"""A RabbitMQ for one test or one module, to be killed, frozen and started again: a container, else a private node."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from testcontainers.core.container import DockerContainer

from tests.polling import wait_until
from tests.servers import docker_engine
from tests.servers.amqp_greeting import server_version
from tests.servers.killable import Killable, KillableContainer
from tests.servers.ports import free_ports
from tests.servers.rabbitmq import CONTAINER_SECONDS, IMAGE, private_node


class OwnBroker(Killable, Protocol):
    @property
    def url(self) -> str: ...

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl (about a second) and return what it printed."""
        ...

    def stored(self) -> bytes:
        """All that its files hold: messages, and what it has logged."""
        ...


class _Container(KillableContainer):
    def __init__(self, container: DockerContainer, port: int, user: str, password: str) -> None:
        super().__init__(container)
        self._docker = container
        self._port = port
        self._host = container.get_container_host_ip()
        self.url = f"amqp://{user}:{password}@{self._host}:{port}/"

    def start(self) -> None:
        super().start()
        self.until_it_accepts()

    def until_it_accepts(self) -> None:
        wait_until(lambda: server_version(self._port, self._host), CONTAINER_SECONDS)

    def ctl(self, *arguments: str) -> str:
        done = self._docker.exec(["rabbitmqctl", *arguments])
        assert done.exit_code == 0, done.output
        return str(done.output, "utf-8")

    def stored(self) -> bytes:
        files = bytes(self._docker.exec(["tar", "-c", "/var/lib/rabbitmq"]).output)
        return files + b"".join(self._docker.get_logs())


@contextmanager
def own_broker() -> Iterator[OwnBroker]:
    """Running; removed at the end."""
    if not docker_engine.image_available(IMAGE):
        with private_node() as node:
            yield node
        return
    user, password, (port,) = "tests", secrets.token_hex(16), free_ports(1)
    container = DockerContainer(IMAGE).with_bind_ports(5672, port)
    container.with_env("RABBITMQ_DEFAULT_USER", user).with_env("RABBITMQ_DEFAULT_PASS", password)
    with container:
        broker = _Container(container, port, user, password)
        broker.until_it_accepts()
        yield broker
