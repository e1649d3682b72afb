"""People who ask three processes for codes, and what they were sent: looked at in the inbox and in the databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aio_pika

from shared.database.pool import Database
from shared.messaging.amqp import AmqpBus
from shared.messaging.relay import Relay
from shared.messaging.signed import SignedBus
from tests import edge_keys
from tests.faults.knowledge import until_known, until_told
from tests.faults.rows.kinds import LOGIN, Kind
from tests.polling import eventually
from tests.servers.databases import connected
from tests.servers.mail import MailSink
from tests.stacks.processes import Processes
from tests.stacks.stack import Person
from tests.stacks.steps import register

SECONDS = 30.0


async def somebody_known(stack: Processes) -> Person:
    """With 2FA, and auth has learnt of the account."""
    person = await register(stack, is_2fa=True)
    await until_known(stack, person)
    return person


async def ask_for_code(stack: Processes, person: Person, kind: Kind = LOGIN) -> str | None:
    """The token that goes with it; None where no answer came."""
    return await kind.ask(stack, person)


async def events_of(stack: Processes, people: Iterable[Person]) -> set[str]:
    """The ids of the login codes that are committed for them."""
    query = "SELECT code_event_id FROM auth.challenges WHERE account_id = ANY($1::uuid[])"
    async with connected(stack.auth_database_url) as database:
        return {str(row["code_event_id"]) for row in await database.fetch(query, [person.id for person in people])}


async def one_code(stack: Processes, person: Person, *, mails: int, or_more: int = 0, kind: Kind = LOGIN) -> str:
    """The code that is there once all is quiet, in exactly so many mails (or up to so many more): all the same one."""
    await eventually(lambda: len(kind.mails(stack, person)) >= mails, SECONDS)
    await until_quiet(stack, kind)
    received = kind.mails(stack, person)
    assert mails <= len(received) <= mails + or_more
    ((code, _),) = {(kind.code(mail), str(mail.message["Message-ID"])) for mail in received}
    return code


async def opens(stack: Processes, token: str | None, code: str, kind: Kind = LOGIN) -> None:
    """The code is good, if the person has got the token that goes with it."""
    if token is not None:
        await kind.opens(stack, token, code)


async def until_quiet(stack: Processes, kind: Kind = LOGIN) -> None:
    """Until nothing waits, and what was handed to the notifier has been carried out.

    The codes are handed over in their order: when the last one has arrived, those before it have been tried.
    """
    await until_told(stack, kind.service)
    async with await aio_pika.connect(stack.amqp_url) as connection, connection.channel() as operator:

        async def nothing_waits() -> bool:
            names = (kind.subscription.queue, *kind.subscription.retry_queues)
            found = [await operator.declare_queue(queue, passive=True) for queue in names]
            return not any(queue.declaration_result.message_count for queue in found)

        await eventually(nothing_waits, SECONDS)
    last = await somebody_known(stack)
    assert await ask_for_code(stack, last, kind)
    await eventually(lambda: kind.mails(stack, last), SECONDS)


async def answers(stack: Processes, service: str) -> bool:
    """Whether it says that it is ready."""
    try:
        async with asyncio.timeout(2):
            return await stack.is_ready(service)
    except (TimeoutError, AssertionError):
        return False


async def until_heard(sink: MailSink, person: Person, command: str) -> None:
    """Until the mail server has got a line of this beginning, in the first mail to `person`."""
    recipient = f"RCPT TO:<{person.email}>"

    def heard() -> bool:
        if recipient not in sink.heard:
            return False
        return any(line.startswith(command) for line in sink.heard[sink.heard.index(recipient) :])

    await eventually(heard, SECONDS)


@asynccontextmanager
async def another_relay(stack: Processes, kind: Kind = LOGIN) -> AsyncIterator[None]:
    """Over the same outbox, as that of another replica."""
    database, bus = Database(kind.database_url(stack)), AmqpBus(stack.amqp_url, name="another relay")
    relay = Relay(kind.service, database, kind.outbox, SignedBus(bus, edge_keys.ALL))
    relay.start()
    try:
        yield
    finally:
        await relay.stop(grace=SECONDS)
        await bus.close()
        await database.close()
