"""The product as it is deployed: auth, users, notifier, portal as processes, over a Postgres and RabbitMQ of its own.

Everything that production has is on: fsync, confirms, logs (into files), throttles, limits, metrics. The limit against
floods is there and high, for all clients of the bench are one address.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.fernet import Fernet

from deploy.standalone.postgres import EmbeddedPostgres
from services.auth.tokens import keys
from tests import edge_keys
from tests.bench.factors import ORIGIN, RP_ID
from tests.bench.people import Issuer
from tests.polling import eventually
from tests.servers.databases import Databases, connected, copied, template_database
from tests.servers.leash import Leash
from tests.servers.ports import free_ports
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import on_vhost, private_node
from tests.servers.rabbitmq_node import PrivateNode
from tests.servers.vhosts import Vhosts
from tests.stacks.program import Program

# A server with some memory, as a real one; fsync and synchronous_commit stay as they are by default: on.
POSTGRES = {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": "200", "checkpoint_timeout": "30min"}

_NEVER_HIT = "1000000"

# At the address of the bench there are none.
_PASSKEYS = {"WEBAUTHN_RP_ID": RP_ID, "WEBAUTHN_ORIGINS": ORIGIN}

# Of two processors, as a limit of one for each container would have it.
_HALF = {"HASH_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Servers:
    postgres: EmbeddedPostgres
    broker: PrivateNode
    vhosts: Vhosts

    @property
    def server(self) -> Postgres:
        return Postgres("embedded", self.postgres.superuser_url())

    def watched(self) -> dict[str, tuple[int, ...]]:
        return {"postgres": (self.postgres.pid,)}

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Databases]:
        async with template_database(self.server) as template, copied(self.server, template) as databases:
            yield databases

    @contextmanager
    def vhost(self) -> Iterator[str]:
        with self.vhosts.one() as vhost:
            yield on_vhost(self.broker.url, vhost)


@contextmanager
def servers() -> Iterator[Servers]:
    """Private ones of this machine, never containers: their processor time can be read, and no proxy is in between."""
    folder = Path(tempfile.mkdtemp(prefix="login2fa-bench-pg-"))
    postgres = EmbeddedPostgres(folder, POSTGRES)
    try:
        postgres.start()
        leash = Leash(postgres.pid, signal_name="INT")
        try:
            with private_node() as broker:
                yield Servers(postgres=postgres, broker=broker, vhosts=Vhosts(broker.ctl, broker.user))
        finally:
            leash.release()
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


class System:
    """`start` its processes by name, `stop` them; both as often as wanted.

    `auth`, `users`, `notifier` and `portal` have the machine for themselves, `auth-a` and `auth-b` share it;
    `auth-passkeys` is an `auth` that takes them.
    """

    def __init__(self, databases: Databases, amqp_url: str, mail_port: int, folder: Path) -> None:
        self.databases = databases
        self.amqp_url = amqp_url
        self.keys = folder / "keys"
        keys.generate(self.keys)
        self.sealing_key = Fernet.generate_key().decode()
        self._folder = folder
        names = ("auth", "auth-a", "auth-b", "auth-passkeys", "users", "notifier", "portal")
        ports = free_ports(2 * len(names))
        self.ports = dict(zip(names, ports[::2], strict=True))
        self.management = dict(zip(names, ports[1::2], strict=True))
        self.issuer_url = f"http://127.0.0.1:{self.ports['auth']}"
        self.programs: dict[str, Program] = {}
        account_key, pepper = Fernet.generate_key().decode(), secrets.token_urlsafe(32)
        auth = {
            "AUTH_DATABASE_URL": databases.auth_url,
            "JWT_KEYS_DIR": str(self.keys),
            "OTP_SEALING_KEYS": self.sealing_key,
            "ACCOUNT_SEALING_KEYS": account_key,
            "OTP_PEPPERS": pepper,
        }
        self.settings = {
            "auth": auth,
            "auth-a": auth | _HALF,
            "auth-b": auth | _HALF,
            "auth-passkeys": auth | _PASSKEYS,
            "users": {
                "USERS_DATABASE_URL": databases.users_url,
                "ACCOUNT_SEALING_KEYS": account_key,
                "AUTH_JWKS_URL": f"{self.issuer_url}/.well-known/jwks.json",
            },
            "portal": {"AUTH_URL": self.issuer_url, "USERS_URL": f"http://127.0.0.1:{self.ports['users']}"},
            "notifier": {"OTP_SEALING_KEYS": self.sealing_key, "SMTP_PORT": str(mail_port), "SMTP_SECURITY": "none"},
        }

    def program(self, name: str) -> Program:
        """Not started yet."""
        service = name.partition("-")[0]
        common = {
            **edge_keys.environment_of(service),
            "PORT": str(self.ports[name]),
            "MANAGEMENT_PORT": str(self.management[name]),
            "RABBITMQ_URL": self.amqp_url,
            "ISSUER": self.issuer_url,
            "FLOOD_RATE": _NEVER_HIT,
            "FLOOD_BURST": _NEVER_HIT,
            "HASH_MAX_WAIT": "60",  # of which one address has a quarter
            **{name: value for name, value in os.environ.items() if name.startswith("TRACE")},
        }
        return Program(name, service, settings=common | self.settings[name], folder=self._folder)

    async def start(self, *names: str) -> None:
        """Those that do not run yet; return when they are ready."""
        missing = [name for name in names if name not in self.programs]
        for name in missing:
            self.programs[name] = self.program(name)
            self.programs[name].start()
        for name in missing:
            await self.programs[name].until_ready(f"http://127.0.0.1:{self.management[name]}")

    async def stop(self, *names: str) -> None:
        """In order, by SIGTERM."""
        for name in [name for name in names if name in self.programs]:
            await self.programs.pop(name).terminate()

    def kill(self) -> None:
        for program in self.programs.values():
            program.kill()
        self.programs.clear()

    async def until_it_delivers(self) -> None:
        """Until auth has heard of a notifier that delivers codes: before, it may promise none."""
        heard = "SELECT max(delivering_at) > now() - interval '5 seconds' FROM auth.notifiers"
        metrics = f"http://127.0.0.1:{self.management['auth']}/metrics"
        async with connected(self.databases.admin_url) as database, httpx.AsyncClient(trust_env=False) as client:

            async def no_pressure() -> bool:
                return "\nlogin2fa_otp_pressure 0.0\n" in (await client.get(metrics)).text

            await eventually(lambda: database.fetchval(heard))
            await eventually(no_pressure)

    def pids(self, *names: str) -> tuple[int, ...]:
        return tuple(self.programs[name].pid for name in names)

    async def issuer(self) -> Issuer:
        """Asks auth, which has to run, for the name of its key."""
        async with httpx.AsyncClient(trust_env=False) as client:
            published = (await client.get(f"{self.issuer_url}/.well-known/jwks.json")).json()
        return Issuer.of(self.issuer_url, self.keys, published["keys"][0]["kid"])


@asynccontextmanager
async def system(servers: Servers, mail_port: int, folder: Path, name: str) -> AsyncIterator[System]:
    """A database and a virtual host of its own; nothing runs yet."""
    place = folder / name
    place.mkdir()
    with servers.vhost() as amqp_url:
        async with servers.database() as databases:
            made = System(databases, amqp_url, mail_port, place)
            try:
                yield made
            finally:
                made.kill()
