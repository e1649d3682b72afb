"""People who ask three processes for codes, and what they were sent: looked at in the inbox and in auth's database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aio_pika
import httpx

from services.auth.tables import outbox
from shared.database.pool import Database
from shared.messaging.amqp import AmqpBus
from shared.messaging.relay import Relay
from shared.messaging.signed import SignedBus
from shared.messaging.topology import OTP_DELIVERY, RETRY_DELAYS
from tests import edge_keys
from tests.faults.knowledge import until_known, until_told
from tests.polling import eventually
from tests.servers.databases import connected
from tests.servers.mail import MailSink
from tests.stacks.processes import Processes
from tests.stacks.stack import Person
from tests.stacks.steps import register, submit_code, submit_password

SECONDS = 30.0


async def somebody_known(stack: Processes) -> Person:
    """With 2FA, and auth has learnt of the account."""
    person = await register(stack, is_2fa=True)
    await until_known(stack, person)
    return person


async def ask_for_code(stack: Processes, person: Person) -> str | None:
    """The temporary token; None where no answer came."""
    try:
        answer = await submit_password(stack, person)
    except httpx.TransportError:
        return None
    assert answer.status_code == 200, answer.text
    return str(answer.json()["temporary_token"])


async def events_of(stack: Processes, people: Iterable[Person]) -> set[str]:
    """The ids of the codes that are committed for them."""
    query = "SELECT code_event_id FROM auth.challenges WHERE account_id = ANY($1::uuid[])"
    async with connected(stack.auth_database_url) as database:
        return {str(row["code_event_id"]) for row in await database.fetch(query, [person.id for person in people])}


async def one_code(stack: Processes, person: Person, *, mails: int, or_more: int = 0) -> str:
    """The code that is there once all is quiet, in exactly so many mails (or up to so many more): all the same one."""
    await stack.inbox.sink.wait_for(person.email, mails, SECONDS)
    await until_quiet(stack)
    received = stack.inbox.mails_to(person.email)
    assert mails <= len(received) <= mails + or_more
    ((code, _),) = {(mail.code, str(mail.message["Message-ID"])) for mail in received}
    return code


async def opens(stack: Processes, temporary: str | None, code: str) -> None:
    """The code is good, if the person has got the token that goes with it."""
    if temporary is not None:
        answer = await submit_code(stack, temporary, code)
        assert answer.status_code == 200, answer.text


async def until_quiet(stack: Processes) -> None:
    """Until nothing waits, and what was handed to the notifier has been carried out.

    The codes are handed over in their order: when the last one has arrived, those before it have been tried.
    """
    await until_told(stack, "auth")
    async with await aio_pika.connect(stack.amqp_url) as connection, connection.channel() as operator:
        queues = [OTP_DELIVERY.queue, *(OTP_DELIVERY.retry_queue(delay) for delay in RETRY_DELAYS)]

        async def nothing_waits() -> bool:
            found = [await operator.declare_queue(queue, passive=True) for queue in queues]
            return not any(queue.declaration_result.message_count for queue in found)

        await eventually(nothing_waits, SECONDS)
    last = await somebody_known(stack)
    assert await ask_for_code(stack, last)
    await stack.inbox.sink.wait_for(last.email, timeout=SECONDS)


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
async def another_relay(stack: Processes) -> AsyncIterator[None]:
    """Over the outbox of auth, as that of another replica."""
    database, bus = Database(stack.auth_database_url), AmqpBus(stack.amqp_url, name="another relay")
    relay = Relay("auth", database, outbox, SignedBus(bus, edge_keys.ALL))
    relay.start()
    try:
        yield
    finally:
        await relay.stop(grace=SECONDS)
        await bus.close()
        await database.close()
