"""The real topology with what watches it: RabbitMQ with its exporter, Prometheus with our rules, each second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.monitoring.promtool import FOLDER
from tests.servers.databases import Databases
from tests.servers.mail import MailSink
from tests.servers.ports import free_ports
from tests.servers.prometheus import Prometheus, running_prometheus
from tests.servers.rabbitmq import declare_topology, private_node
from tests.servers.rabbitmq_node import PrivateNode
from tests.stacks.processes import Processes

# Slow hashes, one at a time: one client can provoke a refusal, and a busy machine refuses no lonely login.
HASHES = {"ARGON2_PASSES": "10", "HASH_THREADS": "1", "HASH_MAX_WAIT": "4"}
AUTH = {"LOGIN_FAILURE_DEADLINE": "0.25", "FLOOD_RATE": "20"}


class NodeWithExporter(PrivateNode):
    def __init__(self, sbin: Path) -> None:
        (self.exporter_port,) = free_ports(1)
        super().__init__(sbin)

    def _configure(self, own: str) -> None:
        super()._configure(own)
        (self._folder / "enabled_plugins").write_text("[rabbitmq_prometheus].\n")
        (self._folder / "conf.d" / "exporter.conf").write_text(
            f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {self.exporter_port}\n"
        )


@dataclass(frozen=True)
class Watched:
    stack: Processes
    mail: MailSink
    prometheus: Prometheus


@asynccontextmanager
async def watched(databases: Databases, folder: Path) -> AsyncIterator[Watched]:
    with private_node(NodeWithExporter) as node:
        assert isinstance(node, NodeWithExporter)
        await declare_topology(node.url)
        async with MailSink() as mail:
            stack = Processes(databases, {"": node.url}, mail, folder)
            stack.auth.settings |= HASHES | AUTH
            stack.users.settings |= HASHES
            ports = {**stack._management, "rabbitmq": node.exporter_port}
            (folder / "prometheus.yml").write_text(json.dumps(configuration(ports)))
            try:
                for program in stack.programs:
                    program.start()
                await asyncio.gather(stack.create_admin(), stack.until_ready())
                with running_prometheus(folder) as prometheus:
                    yield Watched(stack, mail, prometheus)
            finally:
                await stack.kill()
                await stack.http.aclose()


def configuration(ports: dict[str, int]) -> dict[str, object]:
    """Our example, of those services that run here."""
    made = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    made["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    made["rule_files"] = [str(FOLDER / "rules.yml")]
    del made["alerting"]
    for job in made["scrape_configs"]:
        job["static_configs"] = [
            each | {"targets": [f"127.0.0.1:{ports[each['labels']['service']]}"]}
            for each in job["static_configs"]
            if each["labels"]["service"] in ports
        ]
    return dict(made)
