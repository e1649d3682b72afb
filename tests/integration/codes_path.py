"""The whole way of a code and of its report: auth on Postgres, RabbitMQ, the notifier, a mail server; one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest

from services.auth.accounts import read_model
from services.notifier import app as notifier
from shared.messaging.amqp import AmqpBus
from shared.messaging.events import AccountChanged
from shared.web.process import Check
from tests.builders import account_changed, password_hash
from tests.composed import AuthApp, Keys, auth_settings, keys, notifier_settings, running_auth
from tests.polling import eventually
from tests.servers.databases import Databases, connected
from tests.servers.mail import MailSink
from tests.servers.tcp_proxy import TcpProxy

__all__ = ("keys",)

# Real seconds: long enough for a code to be published on a busy machine, short enough to wait for.
ON = 4.0
PATIENCE = 60.0


@dataclass
class CodesPath:
    """`proxy` is between auth and the broker. The notifier is not started; `notifier_settings` are beside its usual."""

    auth: AuthApp
    sql: asyncpg.Connection
    mails: MailSink
    proxy: TcpProxy
    keys: Keys
    amqp_url: str
    notifier_settings: dict[str, Any] = field(default_factory=dict)
    notifier: AsyncExitStack = field(default_factory=AsyncExitStack)
    notifier_checks: Mapping[str, Check] = field(default_factory=dict)

    async def start_notifier(self) -> AmqpBus:
        """Returns when it consumes."""
        bus = AmqpBus(self.amqp_url, name="notifier")
        self.notifier.push_async_callback(bus.close)
        settings = notifier_settings(self.keys, **{"smtp_port": self.mails.port} | self.notifier_settings)
        running = await self.notifier.enter_async_context(notifier.running(settings, bus))
        self.notifier_checks = running.checks
        await eventually(running.checks["notifier-consumer"], PATIENCE)
        return bus

    async def stop_notifier(self) -> None:
        self.notifier_checks = {}
        await self.notifier.aclose()

    async def not_ready(self) -> set[str]:
        """The checks that readiness would name."""
        checks = {**self.auth.checks, **self.notifier_checks}
        return {name for name, check in checks.items() if not await check()}

    async def account(self, **fields: Any) -> AccountChanged:
        account = account_changed(self.keys.account_sealer, **{"is_2fa": True} | fields)
        async with self.auth.parts.database.transaction() as connection:
            await read_model.apply(connection, account, password_hash())
        return account

    async def log_in(self, **fields: Any) -> httpx.Response:
        """Somebody new."""
        account = await self.account(**fields)
        return await self.auth.log_in(account.username)

    async def code_arrives(self) -> str:
        """Somebody new logs in and gets the mail; the temporary token."""
        account = await self.account()
        answer = await self.auth.log_in(account.username)
        assert answer.status_code == 200, answer.text
        await self.mails.wait_for(account.email, timeout=PATIENCE)
        return str(answer.json()["temporary_token"])

    async def status(self, temporary: str) -> str:
        answer = await self.auth.challenge(temporary)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["status"])

    async def is_on(self) -> bool:
        return bool(await self.sql.fetchval("SELECT since IS NOT NULL FROM auth.back_pressure"))

    async def until_it_turns(self, *, on: bool) -> None:
        """People go on logging in meanwhile; nobody is answered anything but a promise or a refusal."""

        async def turned() -> bool:
            answer = await self.log_in()
            assert answer.status_code in (200, 503), answer.text
            return await self.is_on() == on

        await eventually(turned, PATIENCE)


@pytest.fixture
def silence() -> float:
    """`NOTIFIER_SILENCE`: by default as in production."""
    return 30.0


@pytest.fixture
async def path(
    databases: Databases,
    keys: Keys,
    proxy: TcpProxy,
    proxied_url: str,
    amqp_url: str,
    mail_sink: MailSink,
    silence: float,
) -> AsyncIterator[CodesPath]:
    settings = auth_settings(databases, keys, otp_pressure_on=ON, notifier_silence=silence)
    async with _auth(settings, proxied_url) as auth, connected(databases.auth_url) as sql:
        path = CodesPath(auth, sql, mail_sink, proxy, keys, amqp_url)
        yield path
        await path.stop_notifier()


@asynccontextmanager
async def _auth(settings: Any, url: str) -> AsyncIterator[AuthApp]:
    bus = AmqpBus(url, name="auth")
    try:
        async with running_auth(settings, bus) as app:
            yield app
    finally:
        await bus.close()
