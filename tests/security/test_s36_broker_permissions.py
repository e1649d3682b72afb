"""S36, the broker's part. The credentials of one process on the broker forge no event of another's (ASVS 13.2.2).

Everything is tried with each user's own credentials on a real broker: what it lets pass is what the topology says, and
nothing else. What its holder may publish anyway is refused by the MAC, if it is not what it seems.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack

import aio_pika
import pytest
from pamqp.common import FieldArray

from deploy.rabbitmq.grants import OPERATOR, USERS_OF_BROKER
from shared.messaging.amqp import topology
from shared.messaging.event_types import EVENTS
from shared.messaging.topology import PROCESSES, SUBSCRIPTIONS, published_by
from tests.security.broker_attacks import Credentials, consume, damage_of, get, logged_in, publish, purge
from tests.servers.broker_users import load_broker_users
from tests.servers.own_broker import own_broker
from tests.servers.rabbitmq import RabbitMQ, on_vhost

QUEUES = tuple(topology.queues())
BUILT_IN = ("", "amq.topic", "amq.direct", "amq.fanout", "amq.headers")


def copies_of(process: str) -> set[str]:
    return {queue for queue in QUEUES if queue.startswith(f"{process}.")} - works_of(process)


def works_of(process: str) -> set[str]:
    return {each.queue for each in SUBSCRIPTIONS if each.queue.startswith(f"{process}.")}


def may_publish(user: str) -> set[tuple[str, str]]:
    """Said once more, in other words than the grants'."""
    if user == OPERATOR:
        return {(f"{process}.returns", queue) for process in PROCESSES for queue in works_of(process)}
    own_events = {(f"{user}.events", event) for event in EVENTS if event.startswith(f"{user}.")}
    return own_events | {(f"{user}.returns", queue) for queue in copies_of(user)}


def may_read(user: str) -> set[str]:
    return {f"{each.queue}.dead" for each in SUBSCRIPTIONS} if user == OPERATOR else works_of(user)


@pytest.fixture(scope="module")
def urls(rabbitmq: RabbitMQ) -> Iterator[dict[str, str]]:
    """By user; `admin` is the one that the tests have."""
    with ExitStack() as stack:
        if rabbitmq.vhosts and rabbitmq.ctl:
            admin, ctl = on_vhost(rabbitmq.url, stack.enter_context(rabbitmq.vhosts.one())), rabbitmq.ctl
        else:
            broker = stack.enter_context(own_broker())
            admin, ctl = broker.url, broker.ctl
        yield {"admin": admin, **load_broker_users(ctl, admin)}


@pytest.fixture(params=USERS_OF_BROKER)
def user(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def credentials(urls: dict[str, str], user: str) -> AsyncIterator[Credentials]:
    async with logged_in(urls[user]) as credentials:
        yield credentials


async def drained(url: str, queues: Iterable[str]) -> list[tuple[str, str]]:
    """Take all messages from the queues; each is given as its queue and its body."""
    taken = []
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        for name in queues:
            queue = await channel.get_queue(name, ensure=False)
            while message := await queue.get(no_ack=True, fail=False):
                taken.append((name, message.body.decode()))
    return taken


def test_the_topology_knows_every_event_and_who_publishes_it() -> None:
    assert {process: set(published_by(process)) for process in PROCESSES} == {
        process: {event for event in EVENTS if event.startswith(f"{process}.")} for process in PROCESSES
    }
    assert all(event.partition(".")[0] in PROCESSES for event in EVENTS)


async def test_each_user_publishes_its_own_events_and_its_own_copies_and_nothing_else(
    credentials: Credentials, user: str
) -> None:
    """Through every exchange that there is, the default one too, with every event's type and every queue's name."""
    exchanges = (*topology.exchanges(), *BUILT_IN)
    routing_keys = (*EVENTS, *QUEUES, "auth.audit.v1\n", "#", "", f"{user}.anything.v1")
    tried = {(exchange, key): publish(exchange, key) for exchange in exchanges for key in routing_keys}

    assert await credentials.which(tried) == may_publish(user)


async def test_each_user_reads_and_purges_its_own_queues_and_no_other(credentials: Credentials, user: str) -> None:
    for attack in (get, consume, purge):
        assert await credentials.which({queue: attack(queue) for queue in QUEUES}) == may_read(user), attack


async def test_nobody_declares_binds_or_deletes_anything_not_even_what_is_its_own(
    credentials: Credentials,
) -> None:
    assert await credentials.which(damage_of((*QUEUES, "another"))) == set()


@pytest.mark.parametrize("header", ["CC", "BCC"])
@pytest.mark.parametrize("process", PROCESSES)
async def test_a_second_routing_key_in_a_header_reaches_no_queue_of_another(
    urls: dict[str, str], process: str, header: str
) -> None:
    """Up to RabbitMQ 4.0.3 the permission by routing key is not asked for these; later ones refuse the message."""
    foreign: FieldArray = [name for name in (*EVENTS, *QUEUES) if not name.startswith(f"{process}.")]
    await drained(urls["admin"], QUEUES)
    taken = set()
    async with logged_in(urls[process]) as credentials:
        for exchange, routing_key in sorted(may_publish(process)):
            if await credentials.may(publish(exchange, routing_key, {header: foreign}, body=routing_key.encode())):
                taken.add(routing_key)

    # Each event once, where it belongs; what were in a retry queue would come to its work queue as one more.
    rightly = [
        (each.queue, key)
        for each in SUBSCRIPTIONS
        for key in each.routing_keys
        if key in taken and each.consumer != process
    ]
    others = [queue for queue in QUEUES if not queue.startswith(f"{process}.")]
    assert sorted(await drained(urls["admin"], others)) == sorted(rightly)
