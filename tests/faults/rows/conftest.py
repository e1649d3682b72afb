"""The way of a code in one process, and the ledger of what was promised on it; a broker that may be broken."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from shared.messaging import relay
from shared.messaging.amqp import consumer, link
from shared.messaging.relay import Pace
from tests.faults.rows.promises import Promises
from tests.integration.codes_path import CodesPath, keys, path, silence
from tests.integration.conftest import proxied_url, proxy
from tests.integration.notifier.conftest import log_lines
from tests.servers.databases import Databases, copied, template_database
from tests.servers.own_broker import OwnBroker, own_broker
from tests.servers.own_postgres import OwnPostgres, own_postgres

__all__ = ("keys", "log_lines", "path", "proxied_url", "proxy", "silence")


@pytest.fixture
async def promises(path: CodesPath, log_lines: Callable[[], list[dict[str, Any]]]) -> AsyncIterator[Promises]:
    """Whatever happens to the codes, none of them is in a log line."""
    promises = Promises(path)
    yield promises
    lines = log_lines()
    print(*(line for line in lines if line["level"] != "info"), promises.figures(), sep="\n")
    assert promises.secrets_in(json.dumps(lines)) == []


@pytest.fixture(scope="package")
def broker() -> Iterator[OwnBroker]:
    """For the tests here alone."""
    with own_broker() as broker:
        yield broker


@pytest.fixture(scope="package")
def database_server() -> Iterator[OwnPostgres]:
    """For the tests here alone."""
    with own_postgres() as postgres:
        yield postgres


@pytest.fixture(scope="package")
async def template_of_our_own(database_server: OwnPostgres) -> AsyncIterator[str]:
    async with template_database(database_server.server) as name:
        yield name


@pytest.fixture
async def databases_of_our_own(database_server: OwnPostgres, template_of_our_own: str) -> AsyncIterator[Databases]:
    """A module whose fixture `databases` is this one has a path on `database_server`."""
    async with copied(database_server.server, template_of_our_own) as databases:
        yield databases


@pytest.fixture
def pace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long the services wait for the broker before they doubt it; to be asked for before `path`.

    A parameter: "hasty" saves a test some ten seconds, "as in production" changes nothing.
    """
    if request.param == "hasty":
        monkeypatch.setattr(relay, "Pace", lambda: Pace(publish_timeout=2.0))
        monkeypatch.setattr(link, "ANSWER_SECONDS", 2.0)
        monkeypatch.setattr(link, "SILENCE_SECONDS", 2.0)
        monkeypatch.setattr(consumer, "WATCH_SECONDS", 1.0)
