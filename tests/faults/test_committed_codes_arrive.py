"""A code that is committed is delivered, whichever process dies before it is."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conftest import Network
from tests.faults.knowledge import until_told, waiting_events
from tests.polling import eventually
from tests.stacks.processes import Processes
from tests.stacks.steps import challenged, register, submit_code, temporary_token, verify_token

# A login that waited for the broker would wait for the relay's total time-out, 10 s, or for ever.
AT_ONCE = 5.0


@pytest.mark.parametrize("broker", ["unreachable", "stalled"])
async def test_auth_killed_between_commit_and_publish(stack: Processes, network: Network, broker: str) -> None:
    person = await register(stack, is_2fa=True)
    await challenged(stack, person)
    await until_told(stack, "auth")
    if broker == "unreachable":
        network.cut("auth")
    else:
        network.stall("auth")

    async with asyncio.timeout(AT_ONCE):
        token = await temporary_token(stack, person)
    assert await waiting_events(stack, "auth") == 1
    stack.auth.kill()

    assert len(stack.inbox.codes(person.email)) == 1
    await network.mend()
    stack.auth.start()
    await stack.until_ready(stack.auth)
    code = await stack.inbox.wait_for_code(person.email, after=1)
    answer = await submit_code(stack, token, code)
    assert answer.status_code == 200
    assert await verify_token(stack, answer.json()["access_token"]) == 200
    assert len(stack.inbox.codes(person.email)) == 2


async def test_auth_killed_with_a_login_of_many_people_waiting(stack: Processes, network: Network) -> None:
    people = [await register(stack, is_2fa=True) for _ in range(10)]
    for person in people:
        await challenged(stack, person)
    network.cut("auth")
    tokens = [await temporary_token(stack, person) for person in people]
    stack.auth.kill()

    await network.mend()
    stack.auth.start()
    await stack.until_ready(stack.auth)

    for person, token in zip(people, tokens, strict=True):
        code = await stack.inbox.wait_for_code(person.email, after=1)
        assert (await submit_code(stack, token, code)).status_code == 200


async def test_a_broker_that_comes_back_gets_what_waited_without_a_restart(stack: Processes, network: Network) -> None:
    person = await register(stack, is_2fa=True)
    await challenged(stack, person)
    network.cut("auth")
    token = await temporary_token(stack, person)

    await network.mend()

    code = await stack.inbox.wait_for_code(person.email, after=1)
    assert (await submit_code(stack, token, code)).status_code == 200


async def test_the_notifier_killed_before_the_code_came(stack: Processes) -> None:
    person = await register(stack, is_2fa=True)
    await challenged(stack, person)
    stack.notifier.kill()
    token = await temporary_token(stack, person)

    stack.notifier.start()

    code = await stack.inbox.wait_for_code(person.email, after=1)
    assert (await submit_code(stack, token, code)).status_code == 200


async def test_the_notifier_killed_between_two_attempts(stack: Processes) -> None:
    person = await register(stack, is_2fa=True)
    sink = stack.inbox.sink
    sink.refuse("450 Try later", recipient=person.email)
    seen = sink.connections
    token = await temporary_token(stack, person)
    await eventually(lambda: sink.connections > seen)
    stack.notifier.kill()

    sink.accept()
    stack.notifier.start()

    code = await stack.inbox.wait_for_code(person.email)
    assert (await submit_code(stack, token, code)).status_code == 200
