"""Row 2: kill -9 of the relay of auth or users at each step of a batch. I1; I4: at most one extra mail for each crash.

"At once": no claim outlives the process that made it, so another relay needs no lease to run out.
"""

from __future__ import annotations

import signal

import pytest

from shared.failpoints import Failpoint
from tests.faults.conftest import Network
from tests.faults.knowledge import waiting_events
from tests.faults.rows.kinds import LOGIN, RESET, Kind
from tests.faults.rows.mailed import SECONDS, another_relay, answers, ask_for_code, one_code, opens, somebody_known
from tests.polling import eventually
from tests.stacks.processes import Processes
from tests.stacks.stack import Person

KILLED = -signal.SIGKILL
AT_ONCE = 10.0  # half of what Postgres waits before it ends a transaction that stands still


@pytest.mark.parametrize(
    ("kind", "failpoint", "mails"),
    [
        (LOGIN, "relay: claimed", 1),
        (LOGIN, "publisher: confirmed", 2),
        (LOGIN, "relay: before delete", 2),
        (LOGIN, "relay: deleted", 2),
        pytest.param(RESET, "relay: claimed", 1, marks=pytest.mark.long),
        pytest.param(RESET, "publisher: confirmed", 2, marks=pytest.mark.long),
        pytest.param(RESET, "relay: before delete", 2, marks=pytest.mark.long),
        (RESET, "relay: deleted", 2),
    ],
    ids=str,
)
async def test_what_a_killed_relay_had_claimed_is_free_for_another_at_once(
    stack: Processes, kind: Kind, failpoint: Failpoint, mails: int
) -> None:
    person = await somebody_known(stack)
    await kind.until_calm(stack)
    kind.program(stack).arm(failpoint)

    token = await ask_for_code(stack, person, kind)
    assert await kind.program(stack).ended() == KILLED
    assert not await answers(stack, kind.service)

    await taken_over(stack, person, token, mails, kind)


async def test_killed_when_the_broker_has_the_message_and_its_confirm_is_on_the_way(
    stack: Processes, network: Network
) -> None:
    person = await somebody_known(stack)
    await one_code(stack, await with_a_code(stack), mails=1)  # so that its connection is open
    network.stall("auth", "back")

    temporary = await ask_for_code(stack, person)
    await stack.inbox.sink.wait_for(person.email, timeout=SECONDS)
    assert await waiting_events(stack, "auth") == 1
    stack.auth.kill()

    await network.mend()
    await taken_over(stack, person, temporary, mails=2)


async def with_a_code(stack: Processes) -> Person:
    person = await somebody_known(stack)
    assert await ask_for_code(stack, person)
    return person


async def taken_over(stack: Processes, person: Person, token: str | None, mails: int, kind: Kind = LOGIN) -> None:
    async with another_relay(stack, kind):
        await eventually(lambda: len(kind.mails(stack, person)) >= mails, AT_ONCE)
    kind.program(stack).start()
    await stack.until_ready(kind.program(stack))
    await opens(stack, token, await one_code(stack, person, mails=mails, kind=kind), kind)
