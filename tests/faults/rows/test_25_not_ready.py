"""Row 25: a replica whose database has no tables, or is not where it looks for it, runs beside two good ones.

It consumes nothing, so nothing is given up and no account is lost: not when it is started like that, and not when the
tables go away under it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aio_pika
import jwt
import pytest

from shared.messaging.amqp import dead_letters
from shared.messaging.topology import consumed_by
from tests.faults.knowledge import until_known, until_told
from tests.polling import eventually
from tests.servers.databases import Databases, connected, copied
from tests.servers.ports import free_ports
from tests.servers.postgres import Postgres
from tests.stacks.processes import Processes
from tests.stacks.program import Program
from tests.stacks.stack import Person
from tests.stacks.steps import bearer, log_in, register

CLIENTS = 3
SERVICES = ("auth", "users")


class Crowd:
    """People who register, log in with a code and log out: with all events that auth and users consume."""

    def __init__(self, stack: Processes) -> None:
        self._stack = stack
        self.registered: list[Person] = []
        self.ended_sessions: list[str] = []

    @asynccontextmanager
    async def coming(self, seconds: float) -> AsyncIterator[None]:
        """Inside the block, and for so many seconds at least."""
        until = time.monotonic() + seconds
        leaving = asyncio.Event()
        clients = [asyncio.create_task(self._come(until, leaving)) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            leaving.set()
            await asyncio.gather(*clients)

    async def _come(self, until: float, leaving: asyncio.Event) -> None:
        while not leaving.is_set() or time.monotonic() < until:
            person = await register(self._stack, is_2fa=True)
            self.registered.append(person)
            await until_known(self._stack, person)
            access = (await log_in(self._stack, person)).access
            answer = await self._stack.http.post("/api/v1/auth/logout", headers=bearer(access))
            assert answer.status_code == 204, answer.text
            self.ended_sessions.append(jwt.decode(access, options={"verify_signature": False})["sid"])

    async def all_arrived(self) -> None:
        """Auth knows every account, and users of every logout."""
        assert self.registered
        for service in SERVICES:
            await until_told(self._stack, service)
        for person in self.registered:
            await until_known(self._stack, person)
        query = "SELECT count(*) FROM users.ended_sessions WHERE id = ANY($1::uuid[])"

        async def known() -> bool:
            async with connected(self._stack.users_database_url) as database:
                return bool(await database.fetchval(query, self.ended_sessions) == len(self.ended_sessions))

        await eventually(known)


async def given_up(stack: Processes) -> set[str]:
    return {letter.event_id for letter in await dead_letters.list(stack.amqp_url)}


async def consumers(stack: Processes) -> set[int]:
    """How many each queue of auth and users has."""
    queues = [each.queue for service in SERVICES for each in consumed_by(service)]
    async with await aio_pika.connect(stack.amqp_url) as connection, connection.channel() as channel:
        declared = [await channel.declare_queue(queue, passive=True) for queue in queues]
    return {queue.declaration_result.consumer_count or 0 for queue in declared}


def said(program: Program) -> set[str]:
    return {json.loads(line)["event"] for line in program.log.read_text().splitlines() if line.startswith("{")}


@asynccontextmanager
async def misconfigured(stack: Processes, urls: dict[str, str]) -> AsyncIterator[list[Program]]:
    """A replica of auth and one of users, each with its database at this address: they run, and are not ready."""
    async with AsyncExitStack() as parts:
        programs = [
            await parts.enter_async_context(
                stack.unready_replica(getattr(stack, service), **{f"{service.upper()}_DATABASE_URL": url})
            )
            for service, url in urls.items()
        ]
        yield programs


def without_tables(databases: Databases) -> dict[str, str]:
    return {"auth": databases.auth_url, "users": databases.users_url}


def nowhere() -> dict[str, str]:
    return {name: f"postgresql+asyncpg://{name}:secret@127.0.0.1:{free_ports(1)[0]}/login2fa" for name in SERVICES}


@pytest.mark.parametrize("seconds", [2.0, pytest.param(60.0, marks=pytest.mark.long)])
async def test_a_third_replica_that_is_misconfigured_takes_nothing_from_two_good_ones(
    stack: Processes, postgres: Postgres, seconds: float
) -> None:
    letters, crowd = await given_up(stack), Crowd(stack)
    async with stack.replica(stack.auth), stack.replica(stack.users), copied(postgres, "template0") as empty:
        for urls in (without_tables(empty), nowhere()):
            async with misconfigured(stack, urls) as programs, crowd.coming(seconds):
                assert await consumers(stack) == {2}
            for program in programs:
                assert "not consuming before the database is ready" in said(program)
                assert not {"consuming", "handler failed"} & said(program)

        await crowd.all_arrived()
    assert await given_up(stack) == letters


@asynccontextmanager
async def tables_away(stack: Processes) -> AsyncIterator[None]:
    """Those that auth and users write to for an event."""
    async with connected(stack.admin_database_url) as admin:
        await admin.execute(
            "ALTER TABLE auth.identities RENAME TO later; ALTER TABLE users.ended_sessions RENAME TO later"
        )
        try:
            yield
        finally:
            await admin.execute(
                "ALTER TABLE auth.later RENAME TO identities; ALTER TABLE users.later RENAME TO ended_sessions"
            )


async def test_events_of_the_time_in_which_the_tables_are_away_are_put_off_and_a_replica_of_that_time_begins_by_itself(
    stack: Processes,
) -> None:
    letters, sizes = await given_up(stack), stack.log_sizes()
    async with AsyncExitStack() as parts:
        async with tables_away(stack):
            late = [await parts.enter_async_context(stack.unready_replica(each)) for each in (stack.auth, stack.users)]
            people = [await register(stack) for _ in range(5)]
            await until_told(stack, "users")
            for service in SERVICES:
                assert not (await stack.checks(service))[f"{service}-database"]

        await stack.until_ready(*late, *stack.programs)
        for person in people:
            await until_known(stack, person)
            await log_in(stack, person)
        assert all("consuming" in said(program) for program in late)
    assert "handler failed" not in stack.logged(sizes)
    assert await given_up(stack) == letters
