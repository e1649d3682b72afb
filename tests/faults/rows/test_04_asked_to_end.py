"""Row 4: SIGTERM to each process under load. Nothing lost, nothing doubled, exit 0 within the grace."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import httpx
import pytest

from tests.faults.conftest import Network
from tests.faults.knowledge import until_known, until_told
from tests.faults.rows.mailed import SECONDS, ask_for_code, events_of, opens, somebody_known, until_quiet
from tests.polling import eventually
from tests.stacks.processes import SHUTDOWN_GRACE, Processes
from tests.stacks.program import Program
from tests.stacks.stack import Person
from tests.stacks.steps import log_in, registration, somebody

PEOPLE = 16
UNDER_LOAD = 4  # answers, or mails, after which it is asked to end: the others are on their way
CONFIRM_SECONDS = 0.5  # so that it is asked to end while it waits for confirms
LEAVING = 4.0  # what a busy machine may take for everything but the draining


async def test_auth_answers_what_it_has_begun_and_mails_what_it_has_committed(
    stack: Processes, network: Network
) -> None:
    people = await known_people(stack)
    await until_quiet(stack)  # its connection to the broker is open
    network.delay("auth", CONFIRM_SECONDS, "back")
    logins = [asyncio.create_task(ask_for_code(stack, person)) for person in people]
    await eventually(lambda: sum(login.done() for login in logins) >= UNDER_LOAD)

    await ends_in_order(stack.auth)

    await network.mend()
    temporaries = await asyncio.gather(*logins)
    assert sum(temporary is not None for temporary in temporaries) >= UNDER_LOAD
    stack.auth.start()
    await stack.until_ready(stack.auth)
    await each_has_one_mail(stack, people, temporaries)


async def test_the_notifier_delivers_and_acknowledges_what_it_has_in_its_hands(stack: Processes) -> None:
    people = await known_people(stack)
    sink = stack.inbox.sink
    before = len(sink.received)
    logins = [asyncio.create_task(ask_for_code(stack, person)) for person in people]
    await eventually(lambda: len(sink.received) >= before + UNDER_LOAD, SECONDS)

    await ends_in_order(stack.notifier)

    temporaries = await asyncio.gather(*logins)
    assert None not in temporaries
    stack.notifier.start()
    await each_has_one_mail(stack, people, temporaries)


async def test_users_tells_auth_of_everybody_whose_registration_it_has_answered(stack: Processes) -> None:
    people = [somebody() for _ in range(PEOPLE)]
    registrations = [asyncio.create_task(try_to_register(stack, person)) for person in people]
    await eventually(lambda: sum(each.done() for each in registrations) >= UNDER_LOAD)

    await ends_in_order(stack.users)

    registered = [person for person in await asyncio.gather(*registrations) if person is not None]
    assert len(registered) >= UNDER_LOAD
    for person in registered:  # while users is not there
        await until_known(stack, person)
        await log_in(stack, person)
    stack.users.start()
    await stack.until_ready(stack.users)
    await until_told(stack, "users")


@pytest.mark.long
async def test_auth_does_not_wait_for_a_collector_that_takes_its_traces_and_says_nothing(stack: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        async with stack.replica(stack.auth, TRACES="otlp", TRACE_SAMPLE="1", TRACE_ENDPOINT=endpoint) as replica:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{replica.settings['PORT']}") as client:
                assert (await client.get("/.well-known/jwks.json")).status_code == 200

            await ends_in_order(replica)

            assert "ReadTimeout" in replica.output()


async def known_people(stack: Processes) -> list[Person]:
    return await asyncio.gather(*(somebody_known(stack) for _ in range(PEOPLE)))


async def try_to_register(stack: Processes, person: Person) -> Person | None:
    """None where no answer came."""
    try:
        answer = await stack.http.post("/api/v1/users/registration", json=registration(person))
    except httpx.TransportError:
        return None
    assert answer.status_code == 201, answer.text
    return Person(email=person.email, username=person.username, id=answer.json()["id"])


async def ends_in_order(program: Program) -> None:
    logged = program.log.stat().st_size
    async with asyncio.timeout(float(SHUTDOWN_GRACE) + LEAVING):
        assert await program.terminate() == 0, program.output(logged)
    assert "handlers cancelled" not in program.output(logged)


async def each_has_one_mail(stack: Processes, people: list[Person], temporaries: list[str | None]) -> None:
    """Whoever was answered; and of those whose login was cut off, those for whom a code is committed."""
    for person, temporary in zip(people, temporaries, strict=True):
        if temporary is not None:
            await opens(stack, temporary, await stack.inbox.wait_for_code(person.email))
    await until_quiet(stack)
    mails = [mail for person in people for mail in stack.inbox.mails_to(person.email)]
    assert Counter(str(mail.message["X-Event-Id"]) for mail in mails) == Counter(await events_of(stack, people))
