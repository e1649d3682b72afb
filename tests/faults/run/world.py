"""All of the product, twice: two replicas of each process, a broker and a Postgres to be hurt, proxies on every way.

The broker is one node, or three of them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import make_url

from tests.faults.run.ways import Ways
from tests.servers.databases import Databases, copied, template_database
from tests.servers.mail import MailSink
from tests.servers.own_broker import OwnBroker, own_broker
from tests.servers.own_postgres import OwnPostgres, own_postgres
from tests.servers.ports import free_ports
from tests.servers.rabbitmq_cluster import Cluster, cluster
from tests.servers.tcp_proxy import TcpProxy
from tests.stacks.processes import Processes
from tests.stacks.program import Program

ANSWER_SECONDS = 30.0  # more is a hang

SERVICES = ("auth", "users", "notifier")

# All clients are one address, and ask more often than people do; codes of users live as long as those of auth.
LIMITS = {
    "auth": {"THROTTLE_ADDRESS_PER_HOUR": "10000"},
    "users": {
        "ADDRESS_PROOFS_PER_HOUR": "1000",
        "MAILED_CODE_COOLDOWN": "0",
        "MAILED_CODE_LIFETIME": "240",
        "PASSWORD_RESETS_PER_HOUR": "1000",
        "REGISTRATIONS_PER_CLIENT": "100000",
    },
}


@dataclass(frozen=True)
class Servers:
    broker: OwnBroker
    postgres: OwnPostgres

    @property
    def broker_urls(self) -> list[str]:
        return self.cluster.urls if self.cluster else [self.broker.url]

    @property
    def cluster(self) -> Cluster | None:
        return self.broker if isinstance(self.broker, Cluster) else None


@contextmanager
def own_servers(nodes: int = 1) -> Iterator[Servers]:
    """`nodes` of the broker: one, or three. Call it where no event loop runs."""
    with ExitStack() as parts:
        broker = parts.enter_context(own_broker() if nodes == 1 else cluster())
        yield Servers(broker, parts.enter_context(own_postgres()))


class World(Processes):
    """`auth-1`, `auth-2`, `users-1` and so on. Each has its own way to the broker; `mail` and `database` are shared.

    `sql` is the way to the database past the proxy, for who looks at it from outside. With `direct` there is no proxy
    before the broker.
    """

    name = "two of each"

    def __init__(
        self, databases: Databases, servers: Servers, mail: MailSink, folder: Path, *, direct: bool = False
    ) -> None:
        self.sql = databases
        self.servers = servers
        self._ways_to_broker = {
            f"{service}-{number}": Ways(servers.broker_urls, direct=direct) for service in SERVICES for number in (1, 2)
        }
        self._way_to_mail = TcpProxy(mail.host, mail.port)
        self._way_to_database = _way_to_database(databases.admin_url)
        self.ways: dict[str, Ways | TcpProxy] = {
            **self._ways_to_broker,
            "mail": self._way_to_mail,
            "database": self._way_to_database,
        }
        self._mail = mail
        self._databases = databases
        self._root = folder
        self._turn = itertools.count()

    async def open_ways(self) -> None:
        for way in self.ways.values():
            await way.start()
        through = make_url(self.sql.admin_url).set(host="127.0.0.1", port=self._way_to_database.port, query={})
        inside = Databases(self.sql.name, through.render_as_string(hide_password=False))
        super().__init__(inside, {"": self.servers.broker.url}, self._mail, self._root)
        firsts = [self.auth, self.users, self.notifier]
        self.replicas = {first.name: [self._replica(first, number) for number in (1, 2)] for first in firsts}
        self.clients = {
            each.name: httpx.AsyncClient(base_url=f"http://127.0.0.1:{each.settings['PORT']}", timeout=ANSWER_SECONDS)
            for service in ("auth", "users")
            for each in self.replicas[service]
        }

    def _replica(self, first: Program, number: int) -> Program:
        name = f"{first.name}-{number}"
        ports = dict(zip(("PORT", "MANAGEMENT_PORT"), map(str, free_ports(2)), strict=True))
        kept = ports if number > 1 else {}  # the first auth is where the keys are published
        settings = first.settings | kept | LIMITS.get(first.name, {})
        del settings["RABBITMQ_URL"]
        settings |= self._ways_to_broker[name].settings
        if first.name == "notifier":
            settings |= {"SMTP_PORT": str(self._way_to_mail.port)}
        self._management[name] = int(settings["MANAGEMENT_PORT"])
        return Program(name, first.name, settings=settings, folder=self._root)

    @property
    def programs(self) -> list[Program]:
        return [each for service in SERVICES for each in self.replicas[service]]

    def in_turn(self, service: str) -> list[str]:
        """The names of its replicas, another one first each time: what a gateway does."""
        names = [each.name for each in self.replicas[service]]
        turn = next(self._turn) % len(names)
        return names[turn:] + names[:turn]

    async def close(self) -> None:
        await self.kill()
        for client in [self.http, *self.clients.values()]:
            await client.aclose()
        for way in self.ways.values():
            await way.stop()


def _way_to_database(url: str) -> TcpProxy:
    address = make_url(url)
    if address.host:
        return TcpProxy(address.host, address.port or 5432)
    return TcpProxy(f"{address.query['host']}/.s.PGSQL.{address.query['port']}")


@asynccontextmanager
async def world(servers: Servers, folder: Path, *, direct: bool = False) -> AsyncIterator[World]:
    async with AsyncExitStack() as parts:
        template = await parts.enter_async_context(template_database(servers.postgres.server))
        databases = await parts.enter_async_context(copied(servers.postgres.server, template))
        mail = await parts.enter_async_context(MailSink())
        made = World(databases, servers, mail, folder, direct=direct)
        await made.open_ways()
        parts.push_async_callback(made.close)
        for program in made.programs:
            program.start()
        await asyncio.gather(*(made.until_ready(program) for program in made.programs))
        yield made
