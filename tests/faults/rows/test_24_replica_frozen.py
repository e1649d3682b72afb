"""Row 24: two replicas, and one is frozen past its lease and wakes. No double effect.

The relay's lease is its transaction: Postgres ends one that stands still for LEASE (deploy/postgres/roles.sql), and the
rows are free. Whoever wakes after that knows by its clock, and publishes nothing. Short of it, a relay may publish once
more what another has published: at most one extra mail for each message of the batch.

The notifier's lease is its connection: RabbitMQ gives its messages to another after two heartbeats without a sign of
life. A sleeper asks before it handles what has come in its sleep. What it was mailing already, it finishes, unless it
is past SMTP_TIMEOUT: at most one extra mail for each message in its hands. It does not ask in between, because a broker
that is away would then hold back codes. The extra mail is always the same mail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.failpoints import Failpoint
from shared.messaging.relay import Pace
from tests.faults.conftest import Network
from tests.faults.knowledge import until_told
from tests.faults.rows.mailed import another_relay, answers, ask_for_code, one_code, opens, somebody_known, until_heard
from tests.polling import eventually
from tests.servers.databases import connected
from tests.stacks.processes import Processes
from tests.stacks.program import Program
from tests.stacks.stack import Person

LEASE = 20.0
HEARTBEATS = 20.0  # 5 s each: RabbitMQ closes a connection that has missed two, after 10 to 15 s
SHORT_LEASE = 2.0
SHORT_SMTP_TIMEOUT = 6.0
SECONDS = 10.0  # what finding out and delivering may take on a busy machine


@asynccontextmanager
async def frozen(program: Program) -> AsyncIterator[None]:
    """It has frozen itself by now, or will in a moment, and wakes at the end of the block."""
    await eventually(lambda: program.is_frozen)
    try:
        yield
    finally:
        program.thaw()


async def freezes_with_a_claim(stack: Processes) -> tuple[Person, asyncio.Task[str | None]]:
    """Somebody logs in whose code auth has claimed and not published; the answer may come when it wakes."""
    person = await somebody_known(stack)
    stack.auth.arm("relay: claimed", "freeze")
    return person, asyncio.create_task(ask_for_code(stack, person))


@pytest.fixture
async def short_lease(stack: Processes) -> AsyncIterator[None]:
    """Of auth, inside the test."""
    async with connected(stack.admin_database_url) as admin:
        change = f"ALTER ROLE auth IN DATABASE {await admin.fetchval('SELECT current_database()')}"
        await admin.execute(f"{change} SET idle_in_transaction_session_timeout = '{SHORT_LEASE}s'")
        stack.auth.kill()
        stack.auth.start()
        await stack.until_ready(stack.auth)
        yield
        await admin.execute(f"{change} SET idle_in_transaction_session_timeout = '{LEASE}s'")
        stack.auth.kill()


async def test_the_lease_of_a_relay_is_longer_than_its_longest_round(stack: Processes) -> None:
    for url in (stack.auth_database_url, stack.users_database_url):
        async with connected(url) as connection:
            assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == f"{LEASE:.0f}s"
    assert Pace().publish_timeout < Pace().lease == LEASE


@pytest.mark.usefixtures("short_lease")
async def test_the_rows_of_a_frozen_relay_are_free_after_its_lease(stack: Processes) -> None:
    person, login = await freezes_with_a_claim(stack)
    async with frozen(stack.auth), another_relay(stack):
        await stack.inbox.sink.wait_for(person.email, timeout=SHORT_LEASE + SECONDS)
        assert not await answers(stack, "auth")

    temporary = await login
    await stack.until_ready(stack.auth)
    # So short a sleep has left it the connection to the broker: it publishes once more what it had in its hands.
    await opens(stack, temporary, await one_code(stack, person, mails=2))


@pytest.mark.long
async def test_a_relay_that_wakes_after_its_lease_makes_no_second_mail(stack: Processes) -> None:
    async with stack.replica(stack.auth):
        person, login = await freezes_with_a_claim(stack)
        async with frozen(stack.auth):
            await stack.inbox.sink.wait_for(person.email, timeout=LEASE + SECONDS)
            assert not await answers(stack, "auth")

        temporary = await login
        await stack.until_ready(stack.auth)
        await opens(stack, temporary, await one_code(stack, person, mails=1))


@pytest.mark.parametrize(
    "failpoint",
    [
        "notifier: before the channel",
        pytest.param("notifier: delivered", marks=pytest.mark.long),
        pytest.param("notifier: reported", marks=pytest.mark.long),
    ],
)
async def test_what_a_frozen_notifier_had_in_its_hands_makes_one_mail_more_at_most(
    stack: Processes, network: Network, failpoint: Failpoint
) -> None:
    person = await somebody_known(stack)
    stack.notifier.arm(failpoint, "freeze")
    temporary = await ask_for_code(stack, person)
    async with frozen(stack.notifier), stack.replica(stack.notifier):
        network.cut("notifier")  # as RabbitMQ does after two heartbeats
        await network.mend()
        await stack.inbox.sink.wait_for(person.email, 1 if failpoint == "notifier: before the channel" else 2, SECONDS)
        assert not await answers(stack, "notifier")

    await stack.until_ready(stack.notifier)
    await opens(stack, temporary, await one_code(stack, person, mails=2))


@pytest.fixture
async def short_smtp_timeout(stack: Processes) -> AsyncIterator[None]:
    """Of the notifier, inside the test."""
    stack.notifier.kill()
    stack.notifier.settings["SMTP_TIMEOUT"] = str(SHORT_SMTP_TIMEOUT)
    stack.notifier.start()
    await stack.until_ready(stack.notifier)
    yield
    del stack.notifier.settings["SMTP_TIMEOUT"]
    stack.notifier.kill()


@pytest.mark.long
@pytest.mark.usefixtures("short_smtp_timeout")
async def test_a_notifier_that_wakes_after_the_smtp_timeout_sends_nothing(stack: Processes) -> None:
    person = await somebody_known(stack)
    sink = stack.inbox.sink
    sink.be_late(SHORT_SMTP_TIMEOUT / 2, at="RCPT", recipient=person.email, times=1)  # its reply finds a sleeper
    temporary = await ask_for_code(stack, person)
    await until_heard(sink, person, "RCPT")
    stack.notifier.freeze()
    async with frozen(stack.notifier), stack.replica(stack.notifier):
        await sink.wait_for(person.email, timeout=HEARTBEATS + SECONDS)
        assert not await answers(stack, "notifier")

    await stack.until_ready(stack.notifier)
    await opens(stack, temporary, await one_code(stack, person, mails=1))


@pytest.mark.long
async def test_a_notifier_drops_what_has_come_for_it_in_its_sleep(stack: Processes) -> None:
    person = await somebody_known(stack)
    stack.notifier.freeze()
    async with frozen(stack.notifier):
        temporary = await ask_for_code(stack, person)
        await until_told(stack, "auth")
        async with stack.replica(stack.notifier):
            await stack.inbox.sink.wait_for(person.email, timeout=HEARTBEATS + SECONDS)
            assert not await answers(stack, "notifier")

    await stack.until_ready(stack.notifier)
    await opens(stack, temporary, await one_code(stack, person, mails=1))
