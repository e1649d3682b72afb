"""S36, of other teams: a consumer's broker user hears public events in its own queues, and can do nothing else."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import app
from shared.messaging.amqp import topology
from shared.messaging.event_types import EVENTS
from shared.messaging.topology import OTP_DELIVERY, PROCESSES, PUBLIC, events_exchange, process_of
from tests.security.broker_attacks import Credentials, consume, damage_of, get, logged_in, publish, purge
from tests.security.test_s36_broker_permissions import BUILT_IN, QUEUES, drained
from tests.servers.broker_users import load_broker_users, load_definitions
from tests.servers.own_broker import own_broker
from tests.servers.rabbitmq import RabbitMQ, on_vhost

NAME = f"t{secrets.token_hex(4)}"  # users belong to the broker, not to a virtual host
OWN = (f"consumer.{NAME}.1", f"consumer.{NAME}.2")
AUDIT = (f"consumer.{NAME}.audit.1", f"consumer.{NAME}.audit.2")


@pytest.fixture(scope="module")
def urls(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """By user; `consumer` is the one that the command makes."""
    with ExitStack() as stack:
        if rabbitmq.vhosts and rabbitmq.ctl:
            admin, ctl = on_vhost(rabbitmq.url, stack.enter_context(rabbitmq.vhosts.one())), rabbitmq.ctl
        else:
            broker = stack.enter_context(own_broker())
            admin, ctl = broker.url, broker.ctl
        urls = load_broker_users(ctl, admin)
        folder = tmp_path_factory.mktemp("secrets")
        (folder / "auth_rabbitmq_url").write_text(urls["auth"])
        load_definitions(ctl, definitions(folder))
        load_definitions(ctl, definitions(folder))  # again: it changes nothing
        yield {**urls, "consumer": (folder / f"consumer_{NAME}_rabbitmq_url").read_text()}


def definitions(folder: Path) -> str:
    done = CliRunner().invoke(app, ["broker-consumer", NAME, "--dir", str(folder), "--queues", "2", "--audit"])
    assert done.exit_code == 0, done.output
    url = (folder / f"consumer_{NAME}_rabbitmq_url").read_text()
    assert url.split(":")[2].split("@")[0] not in done.output  # the password
    return done.stdout


@pytest.fixture
async def credentials(urls: dict[str, str]) -> AsyncIterator[Credentials]:
    async with logged_in(urls["consumer"]) as credentials:
        yield credentials


async def test_it_hears_public_events_and_no_other_though_everything_is_published(urls: dict[str, str]) -> None:
    for process in PROCESSES:
        own = [kind for kind in EVENTS if process_of(kind) == process]
        async with logged_in(urls[process]) as publisher:
            attacks = {kind: publish(events_exchange(process), kind, body=kind.encode()) for kind in own}
            assert await publisher.which(attacks) == set(own)

    audit = {kind for kind in PUBLIC if ".audit." in kind}
    assert sorted(await drained(urls["consumer"], (*OWN, *AUDIT))) == sorted(
        [(queue, kind) for queue in OWN for kind in set(PUBLIC) - audit]
        + [(queue, kind) for queue in AUDIT for kind in audit]
    )


async def test_it_publishes_nothing_anywhere(credentials: Credentials) -> None:
    routing_keys = (*EVENTS, *OWN, OTP_DELIVERY.queue)
    exchanges = (*topology.exchanges(), *BUILT_IN)
    tried = {(exchange, key): publish(exchange, key) for exchange in exchanges for key in routing_keys}
    assert await credentials.which(tried) == set()


async def test_it_reads_its_own_queues_and_no_code_and_nothing_else_of_ours(credentials: Credentials) -> None:
    for attack in (get, consume, purge):
        tried = {queue: attack(queue) for queue in (*QUEUES, *OWN, *AUDIT)}
        assert await credentials.which(tried) == {*OWN, *AUDIT}, attack


async def test_it_declares_binds_and_deletes_nothing_not_even_what_is_its_own(credentials: Credentials) -> None:
    assert await credentials.which(damage_of((*OWN, f"consumer.{NAME}.3", OTP_DELIVERY.queue))) == set()


@pytest.mark.parametrize("name", ["", "Orders", "or.ders", "orders\n", "1orders", "o" * 42, "orders/x"])
def test_a_name_that_could_be_another_users_or_leave_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "auth_rabbitmq_url").write_text("amqp://auth:secret@broker/")
    done = CliRunner().invoke(app, ["broker-consumer", name, "--dir", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert [path.name for path in tmp_path.iterdir()] == ["auth_rabbitmq_url"]


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), ("rabbit", "needs the form")])
def test_a_folder_without_broker_urls_is_named(content: str | None, says: str, tmp_path: Path) -> None:
    if content:
        (tmp_path / "auth_rabbitmq_url").write_text(content)
    done = CliRunner().invoke(app, ["broker-consumer", "orders", "--dir", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_full_queue_drops_its_oldest_and_refuses_nothing_so_that_it_can_hold_up_no_login(tmp_path: Path) -> None:
    (tmp_path / "auth_rabbitmq_url").write_text("amqp://auth:secret@broker/")
    made = json.loads(definitions(tmp_path))
    assert {queue["arguments"]["x-overflow"] for queue in made["queues"]} == {"drop-head"}
    assert {queue["arguments"]["x-max-length-bytes"] for queue in made["queues"]} == {64 * 2**20}
