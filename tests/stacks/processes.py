"""The real topology on one machine: three processes, RabbitMQ between them, mail by SMTP."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from cryptography.fernet import Fernet

from services.auth.tokens import keys
from tests import edge_keys
from tests.polling import eventually
from tests.servers.databases import Databases
from tests.servers.mail import MailSink
from tests.servers.ports import free_ports
from tests.stacks.by_path import ByPath
from tests.stacks.inboxes import MailInbox
from tests.stacks.program import HASH_MAX_WAIT, LOGIN_FAILURE_DEADLINE, PROJECT, Program
from tests.stacks.stack import Person, Stack

ANSWER_SECONDS = 30.0
START_SECONDS = 90.0  # of a process, on a busy machine
SHUTDOWN_GRACE = "4"


class Processes(Stack):
    """`auth`, `users` and `notifier` can each be killed, started again and waited for; all have failpoints."""

    name = "processes"
    inbox: MailInbox

    def __init__(self, databases: Databases, broker: dict[str, str], mail: MailSink, folder: Path) -> None:
        super().__init__()
        auth_port, users_port, *management_ports = free_ports(5)
        self.auth_database_url, self.users_database_url = databases.auth_url, databases.users_url
        self.admin_database_url = databases.admin_url
        self.inbox = MailInbox(mail)
        self.admin = Person(email="admin@example.org", username="admin@example.org", is_2fa=True)
        self.issuer = f"http://localhost:{auth_port}"  # a name: at an address there are no passkeys
        auth_url = f"http://127.0.0.1:{auth_port}"
        origins = {"/api/v1/users": f"http://127.0.0.1:{users_port}", "/": auth_url}
        self.http = httpx.AsyncClient(base_url="http://stack", transport=ByPath(origins), timeout=ANSWER_SECONDS)
        self._management = dict(zip(("auth", "users", "notifier"), management_ports, strict=True))
        self._ports = {"auth": auth_port, "users": users_port, "notifier": 0}
        self.amqp_url = broker[""]
        self._broker = broker
        self._replicas: list[Program] = []
        self._folder = folder
        keys.generate(folder / "keys")
        otp_key, account_key = Fernet.generate_key().decode(), Fernet.generate_key().decode()
        self.auth = self._program(
            "auth",
            AUTH_DATABASE_URL=self.auth_database_url,
            JWT_KEYS_DIR=str(folder / "keys"),
            OTP_SEALING_KEYS=otp_key,
            ACCOUNT_SEALING_KEYS=account_key,
            OTP_PEPPERS=secrets.token_urlsafe(32),
            LOGIN_FAILURE_DEADLINE=LOGIN_FAILURE_DEADLINE,
        )
        self.users = self._program(
            "users",
            USERS_DATABASE_URL=self.users_database_url,
            ACCOUNT_SEALING_KEYS=account_key,
            AUTH_JWKS_URL=f"{auth_url}/.well-known/jwks.json",
            PASSWORD_RESETS_PER_CLIENT="100000",  # as for FLOOD_RATE
        )
        self.notifier = self._program(
            "notifier", OTP_SEALING_KEYS=otp_key, SMTP_PORT=str(mail.port), SMTP_SECURITY="none"
        )

    def _program(self, service: str, **settings: str) -> Program:
        common = {
            **edge_keys.environment_of(service),
            "PORT": str(self._ports[service]),
            "MANAGEMENT_PORT": str(self._management[service]),
            "RABBITMQ_URL": self._broker.get(service, self._broker[""]),
            "ISSUER": self.issuer,
            "FLOOD_RATE": "0",  # all clients of a test are one address
            "HASH_MAX_WAIT": HASH_MAX_WAIT,
            "SHUTDOWN_GRACE": SHUTDOWN_GRACE,
        }
        return Program(service, service, settings=common | settings, folder=self._folder, failpoints=True)

    @asynccontextmanager
    async def replica(self, of: Program, **settings: str) -> AsyncIterator[Program]:
        """Another process of the same service, with these settings besides, ready; requests do not go to it."""
        async with self._another(of, settings) as program:
            await self.until_ready(program)
            yield program

    @asynccontextmanager
    async def replica_of(self, of: Program, checkout: Path) -> AsyncIterator[Program]:
        """As `replica`, of the code in the folder `checkout`."""
        async with self._another(of, {}, checkout) as program:
            await self.until_ready(program)
            yield program

    @asynccontextmanager
    async def unready_replica(self, of: Program, **settings: str) -> AsyncIterator[Program]:
        """As `replica`, for one that runs and is not ready."""

        async def says_so() -> bool:
            return not await self.is_ready(program.name)

        async with self._another(of, settings) as program:
            await eventually(says_so, START_SECONDS)
            yield program

    @asynccontextmanager
    async def _another(self, of: Program, settings: dict[str, str], checkout: Path = PROJECT) -> AsyncIterator[Program]:
        port, management_port = free_ports(2)
        name = f"{of.name}-{management_port}"
        self._management[name] = management_port
        settings = {**of.settings, "PORT": str(port), "MANAGEMENT_PORT": str(management_port), **settings}
        program = Program(name, of.name, settings=settings, folder=self._folder, failpoints=True, checkout=checkout)
        self._replicas.append(program)
        program.start()
        try:
            yield program
        finally:
            program.kill()

    @property
    def programs(self) -> list[Program]:
        return [self.auth, self.users, self.notifier]

    @property
    def logs(self) -> list[Path]:
        return [program.log for program in (*self.programs, *self._replicas)]

    async def until_ready(self, *programs: Program) -> None:
        for program in programs or self.programs:
            await program.until_ready(f"http://127.0.0.1:{self._management[program.name]}")

    async def checks(self, service: str) -> dict[str, bool]:
        """What the readiness of `auth`, `users` or `notifier` asks, and whether it holds."""
        return dict((await self._readyz(service, ())).json()["checks"])

    async def is_ready(self, service: str, *exclude: str) -> bool:
        """Whether `service` is ready, the checks of these names left out."""
        return (await self._readyz(service, exclude)).status_code == 200

    async def _readyz(self, service: str, exclude: tuple[str, ...]) -> httpx.Response:
        url = f"http://127.0.0.1:{self._management[service]}/readyz"
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return await client.get(url, params={"exclude": list(exclude)})
            except httpx.ConnectError as error:
                raise AssertionError(f"{service} does not listen") from error

    async def create_admin(self) -> None:
        """As an operator does it, on the command line."""
        command = ("users", "create-admin", "--email", self.admin.email, "--stdin")
        program = Program("create-admin", *command, settings=self.users.settings, folder=self._folder)
        program.start(stdin=self.admin.password)
        try:
            assert await program.ended() == 0, program.output()
        finally:
            program.kill()


@asynccontextmanager
async def processes(
    databases: Databases, amqp_url: str, mail: MailSink, folder: Path, **broker_of: str
) -> AsyncIterator[Processes]:
    """`broker_of` names another AMQP URL for a service: `auth=...` leads it through a proxy."""
    stack = Processes(databases, {"": amqp_url, **broker_of}, mail, folder)
    try:
        for program in stack.programs:
            program.start()
        await asyncio.gather(stack.create_admin(), stack.until_ready())
        yield stack
    finally:
        await stack.kill()
        await stack.http.aclose()
