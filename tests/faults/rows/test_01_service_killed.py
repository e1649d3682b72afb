"""Row 1: kill -9 of auth or users before and after the commit that makes or uses a code, and at any moment. I1, I2."""

from __future__ import annotations

import asyncio
import random
import signal
from functools import partial

import httpx
import pytest

from shared.failpoints import Failpoint
from tests.faults.conftest import Network
from tests.faults.knowledge import is_known, until_known, waiting_events
from tests.faults.rows.app_codes import enrolled_app, submit
from tests.faults.rows.kinds import LOGIN, RESET, Kind, has_new_password, set_password
from tests.faults.rows.mailed import answers, ask_for_code, one_code, opens, somebody_known, until_quiet
from tests.polling import eventually
from tests.stacks.processes import Processes
from tests.stacks.stack import Person
from tests.stacks.steps import log_in, register, temporary_token

KILLED = -signal.SIGKILL
PEOPLE = 12

# A request that waited for the broker would wait for the relay's total time-out, 10 s, or for ever.
AT_ONCE = 5.0


async def started_again(stack: Processes, kind: Kind) -> None:
    kind.program(stack).start()
    await stack.until_ready(kind.program(stack))


@pytest.mark.parametrize(
    ("kind", "failpoint"), [(LOGIN, "login: before commit"), (RESET, "code request: before commit")], ids=str
)
async def test_a_request_that_was_not_committed_has_never_been(
    stack: Processes, kind: Kind, failpoint: Failpoint
) -> None:
    person = await somebody_known(stack)
    kind.program(stack).arm(failpoint)

    assert await ask_for_code(stack, person, kind) is None
    assert await kind.program(stack).ended() == KILLED

    assert await kind.committed(stack, [person]) == set()
    await started_again(stack, kind)
    token = await ask_for_code(stack, person, kind)
    await opens(stack, token, await one_code(stack, person, mails=1, kind=kind), kind)


@pytest.mark.parametrize(
    ("kind", "failpoint"), [(LOGIN, "login: committed"), (RESET, "code request: committed")], ids=str
)
async def test_a_code_that_was_committed_is_mailed_though_nobody_was_answered(
    stack: Processes, kind: Kind, failpoint: Failpoint
) -> None:
    person = await somebody_known(stack)
    await kind.until_calm(stack)
    kind.program(stack).arm(failpoint)

    assert await ask_for_code(stack, person, kind) is None
    assert await kind.program(stack).ended() == KILLED

    assert not await answers(stack, kind.service)
    assert await kind.committed(stack, [person]) == {person.id}
    assert await waiting_events(stack, kind.service) == 1
    await started_again(stack, kind)
    await one_code(stack, person, mails=1, kind=kind)


async def with_a_code(stack: Processes, person: Person) -> tuple[str, str]:
    """A token for another password, and its code."""
    token = await ask_for_code(stack, person, RESET)
    assert token is not None
    return token, await one_code(stack, person, mails=1, kind=RESET)


async def killed_at(stack: Processes, failpoint: Failpoint, token: str, code: str) -> None:
    stack.users.arm(failpoint)
    with pytest.raises(httpx.TransportError):
        await set_password(stack, token, code)
    assert await stack.users.ended() == KILLED


async def test_a_code_whose_use_was_not_committed_is_good_and_the_password_is_the_one_before(stack: Processes) -> None:
    person = await somebody_known(stack)
    token, code = await with_a_code(stack, person)
    await killed_at(stack, "code use: before commit", token, code)

    await started_again(stack, RESET)
    assert await ask_for_code(stack, person, LOGIN)
    assert not await is_known(stack, person, version=2)
    await opens(stack, token, code, RESET)


async def test_a_code_whose_use_was_committed_is_used_and_auth_learns_of_the_password(stack: Processes) -> None:
    person = await somebody_known(stack)
    token, code = await with_a_code(stack, person)
    await killed_at(stack, "code use: committed", token, code)

    await started_again(stack, RESET)
    answer = await set_password(stack, token, code)
    assert (answer.status_code, answer.json()["code"]) == (400, "code_not_valid")
    await has_new_password(stack, person)


async def app_login_killed_at(stack: Processes, failpoint: Failpoint) -> tuple[Person, str, str]:
    """Somebody, who was not answered; the temporary token and the code."""
    person = await register(stack)
    await until_known(stack, person)
    app = await enrolled_app(stack.http, (await log_in(stack, person)).access)
    temporary, code = await temporary_token(stack, person), app.code()
    stack.auth.arm(failpoint)
    with pytest.raises(httpx.TransportError):
        await submit(stack.http, "verify-totp", temporary, code)
    assert await stack.auth.ended() == KILLED
    await started_again(stack, LOGIN)
    return person, temporary, code


async def test_a_code_of_an_app_whose_use_was_not_committed_is_good_for_the_same_login(stack: Processes) -> None:
    _, temporary, code = await app_login_killed_at(stack, "second step: before commit")

    assert (await submit(stack.http, "verify-totp", temporary, code)).status_code == 200


async def test_a_code_of_an_app_whose_use_was_committed_is_good_for_no_other_login(stack: Processes) -> None:
    person, temporary, code = await app_login_killed_at(stack, "second step: committed")

    for token in (temporary, await temporary_token(stack, person)):
        answer = await submit(stack.http, "verify-totp", token, code)
        assert (answer.status_code, answer.json()["code"]) == (400, "otp_not_valid")


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
    await started_again(stack, LOGIN)
    for person, temporary in zip(people, temporaries, strict=True):
        assert temporary is not None
        await opens(stack, temporary, await one_code(stack, person, mails=1))


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        (LOGIN, 1),
        *(pytest.param(LOGIN, seed, marks=pytest.mark.long) for seed in range(2, 8)),
        *(pytest.param(RESET, seed, marks=pytest.mark.long) for seed in range(1, 8)),
    ],
    ids=str,
)
async def test_at_any_moment_what_is_committed_is_mailed_and_nothing_else(
    stack: Processes, kind: Kind, seed: int
) -> None:
    people = await asyncio.gather(*(somebody_known(stack) for _ in range(PEOPLE)))
    answered_before = random.Random(seed).randrange(1, PEOPLE)
    asked = [asyncio.create_task(ask_for_code(stack, person, kind)) for person in people]
    await eventually(lambda: sum(each.done() for each in asked) >= answered_before)

    kind.program(stack).kill()
    tokens = await asyncio.gather(*asked)
    promised = [(person, token) for person, token in zip(people, tokens, strict=True) if token is not None]
    print(f"{len(promised)} of {PEOPLE} were answered")

    await started_again(stack, kind)
    for person, token in promised:
        first, *_ = await eventually(partial(kind.mails, stack, person))
        await opens(stack, token, kind.code(first), kind)
    await until_quiet(stack, kind)
    mails = {person.id: kind.mails(stack, person) for person in people}
    assert {account for account, received in mails.items() if received} == await kind.committed(stack, people)
    for received in mails.values():
        assert len({str(mail.message["X-Event-Id"]) for mail in received}) <= 1
        assert len(received) <= 2  # the one batch that was on its way
