"""Row 3: kill -9 of the notifier before SMTP, in DATA, after the 250 and before the acknowledgement. I1, I4.

One mail more for a kill after the mail server has the message and before the broker has the acknowledgement.
"""

from __future__ import annotations

import signal

import pytest

from shared.failpoints import Failpoint
from tests.faults.rows.kinds import LOGIN, RESET, Kind
from tests.faults.rows.mailed import answers, ask_for_code, one_code, opens, somebody_known, until_heard
from tests.polling import eventually
from tests.servers.mail import SILENCE, Stage
from tests.stacks.processes import Processes

KILLED = -signal.SIGKILL


@pytest.mark.parametrize(
    ("kind", "failpoint", "mails"),
    [
        (LOGIN, "notifier: before the channel", 1),
        (LOGIN, "notifier: delivered", 2),
        (LOGIN, "notifier: reported", 2),
        (RESET, "notifier: before the channel", 1),
        (RESET, "notifier: delivered", 2),
        pytest.param(RESET, "notifier: reported", 2, marks=pytest.mark.long),
    ],
    ids=str,
)
async def test_a_code_in_the_hands_of_a_killed_notifier_is_delivered_by_the_next(
    stack: Processes, kind: Kind, failpoint: Failpoint, mails: int
) -> None:
    person = await somebody_known(stack)
    stack.notifier.arm(failpoint)

    token = await ask_for_code(stack, person, kind)
    assert await stack.notifier.ended() == KILLED
    assert not await answers(stack, "notifier")

    stack.notifier.start()
    await opens(stack, token, await one_code(stack, person, mails=mails, kind=kind), kind)


@pytest.mark.parametrize(
    ("kind", "stage", "last", "mails"),
    [
        (LOGIN, "RCPT", "RCPT", 1),
        (LOGIN, "BODY", "DATA", 1),
        (LOGIN, "DATA", ".", 2),
        pytest.param(RESET, "RCPT", "RCPT", 1, marks=pytest.mark.long),
        pytest.param(RESET, "BODY", "DATA", 1, marks=pytest.mark.long),
        (RESET, "DATA", ".", 2),
    ],
    ids=str,
)
async def test_killed_while_it_waits_for_a_reply_of_the_mail_server(
    stack: Processes, kind: Kind, stage: Stage, last: str, mails: int
) -> None:
    person = await somebody_known(stack)
    sink = stack.inbox.sink
    sink.refuse(SILENCE, at=stage, recipient=person.email, times=1)
    token = await ask_for_code(stack, person, kind)
    await until_heard(sink, person, last)
    stack.notifier.kill()

    stack.notifier.start()
    await opens(stack, token, await one_code(stack, person, mails=mails, kind=kind), kind)


async def test_killed_between_the_copy_for_a_retry_and_the_acknowledgement_of_the_original(stack: Processes) -> None:
    person = await somebody_known(stack)
    stack.inbox.sink.refuse("450 Try later", recipient=person.email, times=1)
    stack.notifier.arm("settler: copied")

    temporary = await ask_for_code(stack, person)
    assert await stack.notifier.ended() == KILLED

    stack.notifier.start()
    await opens(stack, temporary, await one_code(stack, person, mails=2))


async def test_killed_before_the_code_came(stack: Processes) -> None:
    person = await somebody_known(stack)
    stack.notifier.kill()
    temporary = await ask_for_code(stack, person)

    stack.notifier.start()
    await opens(stack, temporary, await one_code(stack, person, mails=1))


async def test_killed_between_two_attempts(stack: Processes) -> None:
    person = await somebody_known(stack)
    sink = stack.inbox.sink
    sink.refuse("450 Try later", recipient=person.email)
    seen = sink.connections
    temporary = await ask_for_code(stack, person)
    await eventually(lambda: sink.connections > seen)
    stack.notifier.kill()

    sink.accept()
    stack.notifier.start()
    # One more if the kill was quicker than the acknowledgement of the first attempt.
    await opens(stack, temporary, await one_code(stack, person, mails=1, or_more=1))
