"""Row 17: the clock of one process is five minutes ahead or behind, and steps back while it runs.

Expiry is judged by the database's clock: no mail after it (I3), and no code refused or dropped before it. What is
written in a token is only a backstop, but for access tokens: a clock that is ahead ends these so much earlier.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from shared.messaging.amqp import AmqpBus
from shared.sealing import Sealer
from tests import edge_keys
from tests.builders import message, otp_requested
from tests.polling import eventually
from tests.servers.faketime import WallClock, faketime_library
from tests.stacks.processes import Processes
from tests.stacks.program import Program
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import bearer, challenged, pair, refresh, register, submit_code, temporary_token, verify_token
from tests.stacks.time_passes import seconds_pass

AHEAD, BEHIND = 300, -300
LIFETIME = 240
# Before that long a wait, a message may be an old one (docs/decisions/0008).
SURELY_WAITING = 1.5
SECONDS = 60.0

Replica = Callable[[Program, int], AbstractAsyncContextManager[tuple[Program, WallClock]]]


@pytest.fixture
def replica(stack: Processes, tmp_path: Path) -> Replica:
    """Another process of a service, whose clock is wrong by so many seconds."""
    library = faketime_library()

    @asynccontextmanager
    async def start(of: Program, wrong: int) -> AsyncIterator[tuple[Program, WallClock]]:
        clock = WallClock(library, tmp_path / "clock", wrong=wrong)
        async with stack.replica(of, **clock.settings) as program:
            assert abs(error_of(program) - wrong) < 60
            yield program, clock

    return start


def error_of(program: Program) -> float:
    """Seconds by which the clock is wrong, as its log tells."""
    line = json.loads(program.log.read_text().splitlines()[-1])
    return (datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC)).total_seconds()


class _At(Stack):
    """The same stack, with one process of auth asked for everything."""

    name = "one process of auth"

    def __init__(self, stack: Processes, auth: Program) -> None:
        super().__init__()
        self.inbox = stack.inbox
        self._program = auth
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{auth.settings['PORT']}", timeout=SECONDS, trust_env=False
        )

    @property
    def programs(self) -> list[Program]:
        return [self._program]


async def logged_in_across(begun_at: Stack, ended_at: Stack, person: Person) -> None:
    """The first half of the login at one process, the second at the other; both know the tokens."""
    temporary, code = await challenged(begun_at, person)
    answer = await submit_code(ended_at, temporary, code)
    assert answer.status_code == 200, answer.text
    tokens = pair(answer)
    assert [await verify_token(each, tokens.access) for each in (begun_at, ended_at)] == [200, 200]
    again = await refresh(begun_at, tokens.refresh)
    assert (await refresh(ended_at, pair(again).refresh)).status_code == 200


async def refused_after_its_end(stack: Processes, at: Stack, person: Person) -> None:
    temporary, code = await challenged(at, person)
    await seconds_pass(stack, person, LIFETIME)
    answer = await submit_code(at, temporary, code)
    assert (answer.status_code, answer.json()["code"]) == (400, "otp_not_valid")


async def test_auth_with_a_wrong_clock_takes_each_code_within_its_life_and_none_after_it(
    stack: Processes, replica: Replica
) -> None:
    person = await register(stack, is_2fa=True)
    async with replica(stack.auth, AHEAD) as (auth, clock):
        wrong = _At(stack, auth)
        for seconds in (AHEAD, BEHIND, 0):  # twice a step
            clock.set(seconds)
            await logged_in_across(wrong, stack, person)
            await logged_in_across(stack, wrong, person)
            await refused_after_its_end(stack, wrong, person)
        await wrong.http.aclose()


async def test_users_with_a_wrong_clock_knows_its_callers(stack: Processes, replica: Replica) -> None:
    person = await register(stack, is_2fa=True)
    answer = await submit_code(stack, *await challenged(stack, person))
    async with replica(stack.users, AHEAD) as (users, clock), httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{users.settings['PORT']}/api/v1/users/me"
        for seconds in (AHEAD, BEHIND):
            clock.set(seconds)
            assert (await http.get(url, headers=bearer(pair(answer).access))).status_code == 200


async def publish_code(stack: Processes, person: Person, *, lives: float) -> None:
    """As the relay does it, of a code that has so many seconds to live."""
    event = otp_requested(Sealer([stack.notifier.settings["OTP_SEALING_KEYS"]]), email=person.email, lives=lives)
    bus = AmqpBus(stack.amqp_url, name="test")
    try:
        await bus.publish(edge_keys.ALL.signed(replace(message(event), published_at=datetime.now(UTC))))
    finally:
        await bus.close()


@pytest.mark.parametrize("wrong", [AHEAD, BEHIND])
async def test_the_notifier_with_a_wrong_clock_mails_what_lives_and_nothing_else(
    stack: Processes, replica: Replica, wrong: int
) -> None:
    people = [await register(stack, is_2fa=True) for _ in range(3)]
    late = await register(stack, is_2fa=True)
    stack.notifier.kill()
    async with replica(stack.notifier, wrong) as (_, clock):
        ready = time.monotonic()
        await eventually(lambda: time.monotonic() - ready > SURELY_WAITING, SECONDS)
        for person, seconds in zip(people, (wrong, wrong - 600, -wrong), strict=True):
            clock.set(seconds)
            temporary = await temporary_token(stack, person)
            code = await stack.inbox.wait_for_code(person.email)
            assert (await submit_code(stack, temporary, code)).status_code == 200

            await publish_code(stack, late, lives=-1)
        await publish_code(stack, people[0], lives=LIFETIME / 4)
        await stack.inbox.wait_for_code(people[0].email, after=1)
    assert stack.inbox.mails_to(late.email) == []


async def test_codes_that_wait_for_the_notifier_are_mailed_by_one_whose_clock_is_behind(
    stack: Processes, replica: Replica
) -> None:
    person = await register(stack, is_2fa=True)
    stack.notifier.kill()
    temporary = await temporary_token(stack, person)

    async with replica(stack.notifier, BEHIND):
        code = await stack.inbox.wait_for_code(person.email)

    assert (await submit_code(stack, temporary, code)).status_code == 200
