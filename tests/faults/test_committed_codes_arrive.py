"""A code that is committed is delivered, when the broker comes back, without a restart of anything."""

from __future__ import annotations

from tests.faults.conftest import Network
from tests.stacks.processes import Processes
from tests.stacks.steps import challenged, register, submit_code, temporary_token


async def test_a_broker_that_comes_back_gets_what_waited_without_a_restart(stack: Processes, network: Network) -> None:
    person = await register(stack, is_2fa=True)
    await challenged(stack, person)
    network.cut("auth")
    token = await temporary_token(stack, person)

    await network.mend()

    code = await stack.inbox.wait_for_code(person.email, after=1)
    assert (await submit_code(stack, token, code)).status_code == 200
