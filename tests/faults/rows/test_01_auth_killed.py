"""Row 1: kill -9 of auth before and after the commit of a login, and at any moment. I1, I2."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from tests.faults.conftest import Network
from tests.faults.knowledge import waiting_events
from tests.faults.rows.mailed import answers, ask_for_code, events_of, one_code, opens, somebody_known, until_quiet
from tests.polling import eventually
from tests.stacks.processes import Processes

KILLED = -signal.SIGKILL
PEOPLE = 12

# A login that waited for the broker would wait for the relay's total time-out, 10 s, or for ever.
AT_ONCE = 5.0


async def test_a_login_that_was_not_committed_has_never_been(stack: Processes) -> None:
    person = await somebody_known(stack)
    stack.auth.arm("login: before commit")

    assert await ask_for_code(stack, person) is None
    assert await stack.auth.ended() == KILLED

    assert await events_of(stack, [person]) == set()
    stack.auth.start()
    await stack.until_ready(stack.auth)
    temporary = await ask_for_code(stack, person)
    await opens(stack, temporary, await one_code(stack, person, mails=1))


async def test_the_code_of_a_login_that_was_committed_is_mailed_though_nobody_was_answered(stack: Processes) -> None:
    person = await somebody_known(stack)
    stack.auth.arm("login: committed")

    assert await ask_for_code(stack, person) is None
    assert await stack.auth.ended() == KILLED

    assert not await answers(stack, "auth")
    assert len(await events_of(stack, [person])) == await waiting_events(stack, "auth") == 1
    stack.auth.start()
    await stack.until_ready(stack.auth)
    await one_code(stack, person, mails=1)


@pytest.mark.parametrize("broker", ["unreachable", "stalled"])
async def test_what_could_not_be_published_is_mailed_after_the_kill(
    stack: Processes, network: Network, broker: str
) -> None:
    people = [await somebody_known(stack) for _ in range(3)]
    if broker == "unreachable":
        network.cut("auth")
    else:
        network.stall("auth")
    async with asyncio.timeout(AT_ONCE):
        temporaries = [await ask_for_code(stack, person) for person in people]
    assert await waiting_events(stack, "auth") == len(people)
    stack.auth.kill()

    await network.mend()
    stack.auth.start()
    await stack.until_ready(stack.auth)
    for person, temporary in zip(people, temporaries, strict=True):
        assert temporary is not None
        await opens(stack, temporary, await one_code(stack, person, mails=1))


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))])
async def test_at_any_moment_what_is_committed_is_mailed_and_nothing_else(stack: Processes, seed: int) -> None:
    people = await asyncio.gather(*(somebody_known(stack) for _ in range(PEOPLE)))
    answered_before = random.Random(seed).randrange(1, PEOPLE)
    logins = [asyncio.create_task(ask_for_code(stack, person)) for person in people]
    await eventually(lambda: sum(login.done() for login in logins) >= answered_before)

    stack.auth.kill()
    temporaries = await asyncio.gather(*logins)
    promised = [(person, token) for person, token in zip(people, temporaries, strict=True) if token is not None]
    print(f"{len(promised)} of {PEOPLE} were answered")

    stack.auth.start()
    await stack.until_ready(stack.auth)
    for person, temporary in promised:
        await opens(stack, temporary, await stack.inbox.wait_for_code(person.email))
    await until_quiet(stack)
    mails = [mail for person in people for mail in stack.inbox.mails_to(person.email)]
    mailed = [str(mail.message["X-Event-Id"]) for mail in mails]
    assert set(mailed) == await events_of(stack, people)
    assert max(mailed.count(event) for event in mailed) <= 2  # the one batch that was on its way
