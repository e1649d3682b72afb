"""deploy/examples/account_consumer.py, beside the three processes and with the broker users of a deployment."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest

from deploy.examples.account_consumer import ReadModel
from tests.builders import OTHER_PASSWORD
from tests.polling import eventually
from tests.security.test_s36_consumers import OWN, urls
from tests.servers.databases import Databases
from tests.servers.mail import MailSink
from tests.stacks.processes import Processes, processes
from tests.stacks.program import PROJECT
from tests.stacks.stack import Tokens
from tests.stacks.steps import bearer, log_in, register

__all__ = ("urls",)

pytestmark = pytest.mark.long

PATIENCE = 60.0


@pytest.fixture
async def stack(
    databases: Databases, urls: dict[str, str], mail_sink: MailSink, tmp_path: Path
) -> AsyncIterator[Processes]:
    own = {process: urls[process] for process in ("auth", "users", "notifier")}
    async with processes(databases, "amqp://nobody:nothing@127.0.0.1:1/", mail_sink, tmp_path, **own) as stack:
        yield stack


@asynccontextmanager
async def consumer(url: str, database: Path) -> AsyncIterator[None]:
    settings = {"RABBITMQ_URL": url, "QUEUE": OWN[0], "DATABASE": str(database), "PATH": os.environ["PATH"]}
    program = await asyncio.create_subprocess_exec(
        sys.executable, PROJECT / "deploy" / "examples" / "account_consumer.py", env=settings
    )
    try:
        yield
        assert program.returncode is None, "it has ended by itself"
    finally:
        program.kill()
        await program.wait()


def claims(tokens: Tokens) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(tokens.access, options={"verify_signature": False})
    return read


async def test_a_program_of_another_team_learns_of_accounts_and_ends_sessions_also_what_happened_while_it_was_away(
    stack: Processes, urls: dict[str, str], tmp_path: Path
) -> None:
    database = tmp_path / "orders.sqlite"
    kept = ReadModel(str(database))

    async def until(tokens: Tokens, holds: bool) -> None:
        await eventually(lambda: kept.holds(claims(tokens)) is holds, PATIENCE)

    async with consumer(urls["consumer"], database):
        person = await register(stack)
        first, second, third = [await log_in(stack, person) for _ in range(3)]
        await until(first, True)

        assert (await stack.http.post("/api/v1/auth/logout", headers=bearer(first.access))).is_success
        await until(first, False)
        assert kept.holds(claims(second)) is True

        new = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}
        answer = await stack.http.post("/api/v1/users/change-password", headers=bearer(second.access), json=new)
        assert answer.is_success, answer.text
        await until(third, False)
        assert kept.holds(claims(second)) is True  # it has changed the password, and goes on

    assert kept.holds(claims(second)) is True
    assert (await stack.http.delete("/api/v1/users/", headers=bearer(second.access))).is_success
    async with consumer(urls["consumer"], database):
        await until(second, False)
    assert kept.holds(claims(second) | {"sub": "01890a5d-ac96-774b-bcce-b302099a8059"}) is None
