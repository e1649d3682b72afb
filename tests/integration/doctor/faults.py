"""Faults to plant in a healthy stack, by the name and level of the finding, with the service that suffers.

A fault is an async generator: it plants, yields what the finding must name, and heals.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aio_pika

from services.auth.tokens.keys import generate
from services.doctor.findings import Level, Name
from shared.messaging.amqp import topology
from shared.messaging.amqp.inspection import inspect
from shared.messaging.topology import ACCOUNT_CODES, NOTICES, OTP_OUTCOMES, returns_exchange
from tests.integration.doctor.healthy_stack import Patient, done
from tests.polling import eventually
from tests.servers.databases import connected
from tests.servers.ports import free_ports

Plant = Callable[[Patient], AbstractAsyncContextManager[str]]


@dataclass(frozen=True)
class Fault:
    service: str
    name: Name
    level: Level
    plant: Plant


def variable(name: str, value: Callable[[Patient], str]) -> Plant:
    """The variable is set to this; it is what the finding names."""

    @asynccontextmanager
    async def plant(patient: Patient) -> AsyncIterator[str]:
        patient.environment.setenv(name, value(patient))
        yield name

    return plant


def statement(as_role: str, plant_it: str, heal_it: str, says: str) -> Plant:
    @asynccontextmanager
    async def plant(patient: Patient) -> AsyncIterator[str]:
        url = patient.stack.databases.admin_url if as_role == "admin" else patient.stack.databases.migrator_url
        async with connected(url) as sql:
            await sql.execute(plant_it)
            yield says
            await sql.execute(heal_it)

    return plant


@asynccontextmanager
async def open_file(patient: Patient) -> AsyncIterator[str]:
    file = patient.stack.folder / "open"
    file.write_text(patient.stack.environment["OTP_PEPPERS"])
    file.chmod(0o644)
    patient.environment.delenv("OTP_PEPPERS")
    patient.environment.setenv("OTP_PEPPERS_FILE", str(file))
    yield f"OTP_PEPPERS_FILE ({file})"


@asynccontextmanager
async def deleted_queue(patient: Patient) -> AsyncIterator[str]:
    queue = ACCOUNT_CODES.retry_queue(30)
    async with await aio_pika.connect(patient.stack.amqp_url) as connection, connection.channel() as channel:
        await channel.queue_delete(queue)
        yield queue
        await topology.declare(channel)


@asynccontextmanager
async def silent_consumer(patient: Patient) -> AsyncIterator[str]:
    await patient.stack.consumers[NOTICES.queue].stop(1)

    async def is_gone() -> bool:
        seen = await inspect(patient.stack.amqp_url, exchanges=(), queues=(NOTICES.queue,))
        return not seen.queues[NOTICES.queue].consumers

    await eventually(is_gone)
    yield NOTICES.queue
    patient.stack.consumers[NOTICES.queue] = await patient.stack.bus.consume(NOTICES.queue, done, concurrency=1)


@asynccontextmanager
async def dead_letter(patient: Patient) -> AsyncIterator[str]:
    async with await aio_pika.connect(patient.stack.amqp_url) as connection, connection.channel() as channel:
        exchange = await channel.get_exchange(returns_exchange(OTP_OUTCOMES.consumer))
        await exchange.publish(aio_pika.Message(b"a letter"), OTP_OUTCOMES.dead_queue)
        yield OTP_OUTCOMES.dead_queue
        await (await channel.get_queue(OTP_OUTCOMES.dead_queue)).purge()


@asynccontextmanager
async def old_key(patient: Patient) -> AsyncIterator[str]:
    before, patient.stack.served = patient.stack.served, patient.stack.folder / "old"
    generate(patient.stack.served, signs_from=datetime.now(UTC) - timedelta(days=200))
    patient.environment.setenv("JWT_KEYS_DIR", str(patient.stack.served))
    yield "200 days old"
    patient.stack.served = before


@asynccontextmanager
async def foreign_folder(patient: Patient) -> AsyncIterator[str]:
    generate(patient.stack.folder / "foreign")
    patient.environment.setenv("JWT_KEYS_DIR", str(patient.stack.folder / "foreign"))
    yield "JWT_KEYS_DIR"


def nowhere(scheme: str) -> Callable[[Patient], str]:
    """A URL at which nobody listens."""
    return lambda _: f"{scheme}://127.0.0.1:{free_ports(1)[0]}"


def _wrong_password(url: str) -> str:
    user, _, address = url.partition("://")[2].rpartition("@")
    return f"{url.partition('://')[0]}://{user.partition(':')[0]}:wrong@{address}"


_USAGE = "USAGE ON SCHEMA users"

FAULTS = {
    "a malformed setting": Fault("auth", "settings", "fail", variable("OTP_LIFETIME", lambda _: "4m")),
    "a secret that everybody reads": Fault("auth", "secret-file", "warn", open_file),
    "a wrong database password": Fault(
        "auth", "database", "fail", variable("AUTH_DATABASE_URL", lambda p: _wrong_password(p.stack.databases.auth_url))
    ),
    "a superuser": Fault(
        "users", "database-role", "fail", variable("USERS_DATABASE_URL", lambda p: p.stack.databases.admin_url)
    ),
    "rights on the other schema": Fault(
        "auth",
        "database-role",
        "fail",
        statement("admin", f"GRANT {_USAGE} TO auth", f"REVOKE {_USAGE} FROM auth", "the schema users"),
    ),
    "a schema of another version": Fault(
        "auth",
        "schema",
        "fail",
        statement(
            "migrator",
            "UPDATE auth.alembic_version SET version_num = '0000_before'",
            "UPDATE auth.alembic_version SET version_num = '0001'",
            "0000_before",
        ),
    ),
    "a column that is missing": Fault(
        "users",
        "schema",
        "fail",
        statement(
            "migrator",
            "ALTER TABLE users.codes RENAME said TO away",
            "ALTER TABLE users.codes RENAME away TO said",
            "USERS_DATABASE_URL",
        ),
    ),
    "a broker that is down": Fault("auth", "broker", "fail", variable("RABBITMQ_URL", nowhere("amqp"))),
    "a wrong broker password": Fault(
        "notifier", "broker", "fail", variable("RABBITMQ_URL", lambda p: _wrong_password(p.stack.amqp_url))
    ),
    "a missing queue": Fault("users", "topology", "fail", deleted_queue),
    "a queue that nobody reads": Fault("notifier", "no-consumer", "fail", silent_consumer),
    "dead letters": Fault("auth", "dead-letters", "warn", dead_letter),
    "no signing key": Fault(
        "auth", "signing-keys", "fail", variable("JWT_KEYS_DIR", lambda p: str(p.stack.folder / "none"))
    ),
    "an old signing key": Fault("auth", "signing-key-old", "warn", old_key),
    "keys of another deployment": Fault("auth", "keys-differ", "fail", foreign_folder),
    "an issuer that does not lead to auth": Fault(
        "auth", "issuer", "warn", variable("ISSUER", lambda p: f"{p.stack.issuer}/elsewhere")
    ),
    "public keys out of reach": Fault("users", "public-keys", "fail", variable("AUTH_JWKS_URL", nowhere("http"))),
    "an API out of reach": Fault("portal", "api", "fail", variable("USERS_URL", nowhere("http"))),
    "a mail server that refuses our login": Fault(
        "notifier", "mail-server", "fail", variable("SMTP_PASSWORD", lambda _: "wrong")
    ),
    "a mail server of another name": Fault(
        "notifier", "mail-server", "fail", variable("SMTP_HOST", lambda _: "localhost")
    ),
}
