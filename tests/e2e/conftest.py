"""Every journey runs on both ways to deploy: the services apart, and in one process as `make up` starts them.

Apart is in containers, from the compose file and entered through its gateway, where a Docker engine answers; else it is
three processes over RabbitMQ. The last lines of a run say which.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.conftest import USED
from tests.e2e_required import containers_missing
from tests.servers.databases import copied
from tests.servers.mail import MailSink
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ, empty_vhost
from tests.stacks.compose import containers
from tests.stacks.processes import processes
from tests.stacks.stack import Stack
from tests.stacks.standalone import standalone

Deployment = AbstractAsyncContextManager[Stack]

# The scope is not the session: on a broker that was given, all tests share one virtual host, and nothing of ours may
# still consume there when the tests of another folder begin.


@pytest.fixture(scope="package", params=["apart", "standalone"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    if request.param == "standalone":
        return _standalone()
    folder = tmp_path_factory.mktemp("apart")
    missing = containers_missing()
    request.config.stash[USED]["Services apart"] = f"as processes: {missing}" if missing else "in containers"
    if missing is None:
        return _containers(folder)
    postgres, template, rabbitmq = map(request.getfixturevalue, ("postgres", "database_template", "rabbitmq"))
    return _processes(postgres, template, rabbitmq, folder)


@asynccontextmanager
async def _containers(folder: Path) -> AsyncIterator[Stack]:
    with containers(folder) as stack:
        yield stack
        await stack.http.aclose()


@asynccontextmanager
async def _processes(postgres: Postgres, template: str, rabbitmq: RabbitMQ, folder: Path) -> AsyncIterator[Stack]:
    async with (
        copied(postgres, template) as databases,
        empty_vhost(rabbitmq) as amqp_url,
        MailSink() as mail,
        processes(databases, amqp_url, mail, folder) as stack,
    ):
        yield stack


@asynccontextmanager
async def _standalone() -> AsyncIterator[Stack]:
    async with standalone() as stack:
        await stack.start()
        yield stack


@pytest.fixture(scope="package")
async def running_stack(deployment: Deployment) -> AsyncIterator[Stack]:
    async with deployment as stack:
        yield stack


@pytest.fixture
def stack(running_stack: Stack) -> Iterator[Stack]:
    """The product, running. A failing test shows what it has logged meanwhile."""
    sizes = running_stack.log_sizes()
    yield running_stack
    print(running_stack.logged(sizes))
