"""Row 32: the version before runs beside this one, on this one's schema and on one broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.faults.knowledge import until_known
from tests.faults.rows.version_before import check_out
from tests.servers.databases import Databases
from tests.servers.mail import MailSink
from tests.stacks.processes import ANSWER_SECONDS, Processes, processes
from tests.stacks.program import Program
from tests.stacks.stack import Person, Tokens
from tests.stacks.steps import log_in, refresh, register, verify_token

pytestmark = pytest.mark.long

LOGINS = 3  # of each kind, in each phase


class Both:
    """`before` are processes of the version before, beside those of `new`."""

    def __init__(self, new: Processes, before: list[Program]) -> None:
        self.new = new
        self.before = before

    @asynccontextmanager
    async def at_the_version_before(self) -> AsyncIterator[Processes]:
        """Requests for auth go there inside the block."""
        auth = next(program for program in self.before if program.name.startswith("auth"))
        usual = self.new.http
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{auth.settings['PORT']}", timeout=ANSWER_SECONDS, trust_env=False
        ) as client:
            self.new.http = client
            try:
                yield self.new
            finally:
                self.new.http = usual


@pytest.fixture
async def both(databases: Databases, amqp_url: str, tmp_path: Path) -> AsyncIterator[Both]:
    checkout = check_out(tmp_path / "before")
    async with MailSink() as mail, processes(databases, amqp_url, mail, tmp_path) as new, AsyncExitStack() as stack:
        before = [await stack.enter_async_context(new.replica_of(each, checkout)) for each in new.programs]
        yield Both(new, before)


async def logins(stack: Processes, people: list[Person]) -> list[Tokens]:
    """One after the other, with codes by mail: from whichever notifier took the message."""
    return [await log_in(stack, person) for person in people for _ in range(LOGINS)]


async def test_people_log_in_at_either_version_and_no_login_fails_while_one_takes_the_place_of_the_other(
    both: Both,
) -> None:
    stack = both.new
    people = [await register(stack, is_2fa=True), await register(stack)]
    for person in people:
        await until_known(stack, person)

    made = await logins(stack, people)
    async with both.at_the_version_before() as before:
        made += await logins(before, people)
        # Each takes the other's tokens.
        assert {await verify_token(before, tokens.access) for tokens in made} == {200}
        assert (await refresh(before, made[0].refresh)).status_code == 200
    assert {await verify_token(stack, tokens.access) for tokens in made[1:]} == {200}
    assert (await refresh(stack, made[-1].refresh)).status_code == 200

    for program in both.before:
        going_on = asyncio.create_task(logins(stack, people))
        await program.terminate()
        assert len(await going_on) == LOGINS * len(people)
