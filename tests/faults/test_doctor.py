"""`login2fa doctor` beside three real processes, with the settings that each of them has."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

import pytest

from tests.polling import eventually
from tests.stacks.processes import Processes
from tests.stacks.program import PROJECT, Program

pytestmark = pytest.mark.long

ADDRESS = "ops@example.org"
# A mail lives 60 s.
ENDS_SECONDS = 90.0


@dataclass(frozen=True)
class Told:
    exit_code: int
    found: str
    steps: str


async def doctor(program: Program, *arguments: str) -> Told:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "doctor", *arguments,
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]} | program.settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(ENDS_SECONDS):
        found, steps = await process.communicate()
    assert ADDRESS not in f"{found!r}{steps!r}"
    return Told(process.returncode or 0, found.decode(), steps.decode())


async def test_every_process_is_well_and_recognised_by_its_settings(stack: Processes) -> None:
    for program in stack.programs:

        async def is_well(program: Program = program) -> bool:
            told = await doctor(program)
            assert told.exit_code == 0, told
            return told.found.startswith(f"{program.name}\n")

        await eventually(is_well)


async def test_a_mail_goes_the_whole_way(stack: Processes) -> None:
    told = await doctor(stack.users, "--mail", ADDRESS)

    assert told.exit_code == 0, told
    assert "published to the broker" in told.steps
    assert "delivered after " in told.found
    assert [mail.purpose for mail in stack.inbox.mails_to(ADDRESS)] == ["test"]


async def test_a_refused_mail_is_told_with_the_servers_words(stack: Processes) -> None:
    stack.inbox.sink.refuse(f"550 5.1.1 <{ADDRESS}> no such mailbox", recipient=ADDRESS)
    told = await doctor(stack.users, "--mail", ADDRESS)

    assert told.exit_code == 2
    assert "refused after " in told.found
    assert '"550 5.1.1 (address) no such mailbox"' in told.found


async def test_what_keeps_a_mail_back_is_told(stack: Processes) -> None:
    stack.notifier.kill()

    told = await doctor(stack.users, "--mail", ADDRESS)

    assert told.exit_code == 2
    assert "no-consumer: RABBITMQ_URL: nobody reads the queue notifier.account_codes" in told.found
    assert "the broker has it, and no report of a delivery has come" in told.found
