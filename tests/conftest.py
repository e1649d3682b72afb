"""The servers that the tests run against, started when the first test asks for them, and stopped at the end.

Unit tests ask for none. The last lines of a run say which Postgres and RabbitMQ it used.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.servers.databases import Databases, copied, forget_durability, server_version, template_database
from tests.servers.mail import MailSink
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.rabbitmq import RabbitMQ, running_rabbitmq, vhost_with_topology

USED = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[USED] = {"Postgres": "not used", "RabbitMQ": "not used"}
    # What a script runs in the background ignores Ctrl-C; so would every process that a test starts, and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    # What was imported stays: without this each full collection walks through all of it.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: below the failures, where it is read
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    yield
    for server, used in config.stash[USED].items():
        terminalreporter.write_line(f"{server}: {used}")


@pytest.fixture(scope="session")
async def postgres(pytestconfig: pytest.Config) -> AsyncIterator[Postgres]:
    with running_postgres() as server:
        pytestconfig.stash[USED]["Postgres"] = f"{server.kind}, version {await server_version(server)}"
        await forget_durability(server)
        yield server


@pytest.fixture(scope="session")
async def postgres_admin_url(postgres: Postgres) -> str:
    """An administrator's SQLAlchemy URL. Change nothing that other tests see: prefer `databases`."""
    return postgres.admin_url


@pytest.fixture(scope="session")
async def database_template(postgres: Postgres) -> AsyncIterator[str]:
    async with template_database(postgres) as name:
        yield name


@pytest.fixture
async def databases(postgres: Postgres, database_template: str) -> AsyncIterator[Databases]:
    """A migrated, empty database for this test alone, with a URL for each service and the administrator."""
    async with copied(postgres, database_template) as databases:
        yield databases


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config) -> Iterator[RabbitMQ]:
    """The broker of this session, with `ctl` where it is ours. For one to kill: tests.servers.own_broker."""
    with running_rabbitmq() as broker:
        pytestconfig.stash[USED]["RabbitMQ"] = broker.described
        yield broker


@pytest.fixture(scope="session")
def rabbitmq_url(rabbitmq: RabbitMQ) -> str:
    """The URL of the broker's default virtual host, which tests share: prefer `amqp_url`."""
    return rabbitmq.url


@pytest.fixture
async def amqp_url(rabbitmq: RabbitMQ) -> AsyncIterator[str]:
    """The URL of a virtual host for this test alone, in which the topology is declared, as an operator does it."""
    async with vhost_with_topology(rabbitmq) as url:
        yield url


@pytest.fixture
async def mail_sink() -> AsyncIterator[MailSink]:
    """A real SMTP server that keeps what it gets, and refuses what it is told to."""
    async with MailSink() as sink:
        yield sink
