"""Everything that the doctor looks at, in good health: Postgres, RabbitMQ, a mail server with TLS, public keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.auth.tokens.keys import KeyRing, generate
from services.doctor.checks import examine_service
from services.doctor.findings import Finding
from services.doctor.keys import JWKS
from shared.messaging.amqp import AmqpBus
from shared.messaging.bus import Consumption, Delivery, Done, Outcome
from shared.messaging.topology import SUBSCRIPTIONS
from shared.web.process import listen, serving
from tests.good_settings import GOOD, nothing_but
from tests.servers.databases import Databases
from tests.servers.tls_mail import USERNAME, TlsMailSink, self_signed

SMTP_PASSWORD = "the password that the mail server knows"


@dataclass
class HealthyStack:
    """`served`: the folder whose public keys are published at `issuer`."""

    databases: Databases
    amqp_url: str
    mails: TlsMailSink
    folder: Path
    served: Path
    bus: AmqpBus
    issuer: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    consumers: dict[str, Consumption] = field(default_factory=dict)


@asynccontextmanager
async def healthy_stack(databases: Databases, amqp_url: str, folder: Path) -> AsyncIterator[HealthyStack]:
    served = folder / "jwt"
    generate(served)
    certificate = self_signed(folder)
    async with AsyncExitStack() as opened:
        mails = await opened.enter_async_context(TlsMailSink(certificate, SMTP_PASSWORD))
        stack = HealthyStack(databases, amqp_url, mails, folder, served, AmqpBus(amqp_url))
        opened.push_async_callback(stack.bus.close)

        async def jwks(_request: Request) -> Response:
            return Response(KeyRing(stack.served).document()[0], media_type="application/jwk-set+json")

        bound = listen("127.0.0.1", 0, hint="")
        await opened.enter_async_context(serving(Starlette(routes=[Route(JWKS, jwks)]), bound, grace=1))
        stack.issuer = f"http://127.0.0.1:{bound.getsockname()[1]}"
        for each in SUBSCRIPTIONS:
            stack.consumers[each.queue] = await stack.bus.consume(each.queue, done, concurrency=1)
        stack.environment = GOOD | {
            "RABBITMQ_URL": amqp_url,
            "AUTH_DATABASE_URL": databases.auth_url,
            "USERS_DATABASE_URL": databases.users_url,
            "JWT_KEYS_DIR": str(served),
            "ISSUER": stack.issuer,
            "AUTH_JWKS_URL": f"{stack.issuer}{JWKS}",
            "AUTH_URL": stack.issuer,
            "USERS_URL": stack.issuer,
            "SMTP_HOST": mails.host,
            "SMTP_PORT": str(mails.port),
            "SMTP_USERNAME": USERNAME,
            "SMTP_PASSWORD": SMTP_PASSWORD,
            "SSL_CERT_FILE": str(certificate),
        }
        yield stack


async def done(_delivery: Delivery) -> Outcome:
    return Done()


@dataclass(frozen=True)
class Patient:
    """The stack for one test, whose environment is that of this process."""

    stack: HealthyStack
    environment: pytest.MonkeyPatch

    @classmethod
    def of(cls, stack: HealthyStack, monkeypatch: pytest.MonkeyPatch) -> Patient:
        return cls(stack, nothing_but(monkeypatch, stack.environment))

    async def ills(self, service: str) -> list[Finding]:
        return [finding for finding in await examine_service(service) if finding.level != "ok"]
