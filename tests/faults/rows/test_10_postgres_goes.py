"""Row 10: Postgres is killed and started at once, freezes, freezes in one backend only, or takes no writes.

I5, I6; the pool heals; recovered within 10 s of its being back (I7).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.composed import AUTH, AuthApp, bearer
from tests.faults.rows.crowd import Crowd, all_at_once, is_as_usual, refusals_shown, session_of, sessions_of
from tests.faults.rows.promises import Promises
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.polling import eventually
from tests.servers.databases import Databases, connected
from tests.servers.killable import frozen
from tests.servers.own_postgres import OwnPostgres

RECOVERED_WITHIN = 10.0
SHOWN_WITHIN = 30.0
# Seconds that an answer can take whatever Postgres does: 10 for a statement, and then its connection is closed.
ANSWER_WITHIN = 20.0
POOL = 10


@pytest.fixture
def own(database_server: OwnPostgres) -> OwnPostgres:
    return database_server


@pytest.fixture
def databases(databases_of_our_own: Databases) -> Databases:
    return databases_of_our_own


@pytest.fixture
def crowd(path: CodesPath, promises: Promises) -> Crowd:
    return Crowd(path, promises)


async def until_shown(path: CodesPath) -> None:
    async def shown() -> bool:
        return "auth-database" in await path.not_ready()

    await eventually(shown, SHOWN_WITHIN)


async def test_killed_and_started_at_once_while_people_log_in_verify_and_refresh(
    path: CodesPath, own: OwnPostgres, databases: Databases, promises: Promises, crowd: Crowd
) -> None:
    await path.start_notifier()
    challenged = await crowd.challenged(await crowd.accounts(8))
    held = await sessions_of(path.auth, (await path.account()).account_id, 4)
    people = await crowd.accounts(150)
    async with crowd.coming(people, held):
        await crowd.until(200, 20)
        verified = asyncio.create_task(all_at_once(crowd.verify, challenged * 5))
        await asyncio.to_thread(own.kill)
        await crowd.until(503, 5)
        await until_shown(path)

        await asyncio.to_thread(own.start)

        async with connected(databases.auth_url) as path.sql:
            await crowd.recovered(people, time.monotonic(), RECOVERED_WITHIN)
            await crowd.until(200, 20)
    async with connected(databases.auth_url) as path.sql:
        once = await verified
        for somebody in challenged:
            once[somebody.account] += await crowd.verify(somebody)
        assert set(once.values()) <= {0, 1}  # 0: the answer of the one that used it is lost
        await promises.kept(mails_each=2)  # published, and the deletion of its row lost: once more
        await crowd.one_success_each()
    assert all([await crowd.refresh(each) != each for each in held])


async def test_frozen_it_is_not_now_and_thawed_it_is_as_if_nothing_had_been(
    path: CodesPath, own: OwnPostgres, promises: Promises, crowd: Crowd
) -> None:
    await path.start_notifier()
    accounts, people = await crowd.accounts(3 * POOL), await crowd.accounts(10)
    async with frozen(own):
        logins = [asyncio.create_task(crowd.log_in(account)) for account in accounts]
        await eventually(lambda: crowd.answered[503] >= POOL, PATIENCE)  # those who have to wait for a connection
        await until_shown(path)
    thawed = time.monotonic()
    await asyncio.gather(*logins)

    await crowd.recovered(people, thawed, RECOVERED_WITHIN)
    await promises.kept()


@pytest.mark.long
async def test_frozen_for_25_seconds_nobody_waits_for_an_answer_so_long(
    path: CodesPath, own: OwnPostgres, promises: Promises, crowd: Crowd
) -> None:
    await path.start_notifier()
    await promises.several(3)
    accounts, people = await crowd.accounts(3 * POOL), await crowd.accounts(10)
    began = time.monotonic()
    async with frozen(own):
        async with asyncio.timeout(ANSWER_WITHIN):
            logins = await asyncio.gather(*(crowd.log_in(account) for account in accounts))
        assert not any(logins)
        await eventually(lambda: time.monotonic() - began > 25, 60)
    await crowd.recovered(people, time.monotonic(), RECOVERED_WITHIN)
    await promises.kept(mails_each=2)


async def a_backend(path: CodesPath) -> int:
    """One that serves the pool."""
    backends = "SELECT min(pid) FROM pg_stat_activity WHERE usename = 'auth' AND pid <> pg_backend_pid()"
    return int(await path.sql.fetchval(f"{backends} AND datname = current_database()"))


@asynccontextmanager
async def one_frozen(path: CodesPath, own: OwnPostgres) -> AsyncIterator[None]:
    pid = await a_backend(path)
    await asyncio.to_thread(own.signal_backend, pid, "STOP")
    try:
        yield
    finally:
        await asyncio.to_thread(own.signal_backend, pid, "CONT")


async def listings(auth: AuthApp, access: str, count: int) -> list[int]:
    """Each takes a connection of its own, after a check that they share."""
    headers = bearer(access)
    answers = await asyncio.gather(*(auth.http.get(f"{AUTH}/sessions", headers=headers) for _ in range(count)))
    return [answer.status_code for answer in answers]


async def checks(auth: AuthApp, access: str, count: int) -> list[int]:
    return await asyncio.gather(*(auth.verify_token(access) for _ in range(count)))


async def test_one_frozen_backend_stops_no_check_and_at_most_one_other_request(
    path: CodesPath, own: OwnPostgres, crowd: Crowd
) -> None:
    access = (await session_of(path.auth, (await path.account()).account_id)).access
    await listings(path.auth, access, POOL)  # now the pool is full
    async with one_frozen(path, own):
        for _ in range(2 * POOL):  # whoever shares the read that hangs is asked for once more, over another connection
            assert await checks(path.auth, access, 2) == [200] * 2
        asked = [asyncio.create_task(listings(path.auth, access, 1)) for _ in range(3 * POOL)]
        await eventually(lambda: sum(each.done() for each in asked) >= len(asked) - 1, PATIENCE)
        assert await checks(path.auth, access, POOL) == [200] * POOL
    assert await asyncio.gather(*asked) == [[200]] * len(asked)


@pytest.mark.long
async def test_a_backend_that_stays_frozen_costs_one_answer_at_most_and_its_connection_is_replaced(
    path: CodesPath, own: OwnPostgres, crowd: Crowd
) -> None:
    access = (await session_of(path.auth, (await path.account()).account_id)).access
    await listings(path.auth, access, POOL)
    async with one_frozen(path, own):
        async with asyncio.timeout(ANSWER_WITHIN):
            answered = await listings(path.auth, access, 3 * POOL)
        assert sorted(answered)[:-1] == [200] * (3 * POOL - 1)
        assert await listings(path.auth, access, 3 * POOL) == [200] * 3 * POOL


async def set_read_only(databases: Databases, *, on: bool) -> None:
    """As a failover does it: who is connected stays so, to a server that takes no writes."""
    async with connected(databases.admin_url) as admin:
        await admin.execute("SET default_transaction_read_only = off")
        await admin.execute(
            f"ALTER DATABASE {databases.name} SET default_transaction_read_only = {'on' if on else 'off'}"
        )
        if on:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


async def test_read_only_nothing_is_promised_and_the_pool_does_not_stay_with_the_server_that_was(
    path: CodesPath, databases: Databases, promises: Promises, crowd: Crowd
) -> None:
    await path.start_notifier()
    access = (await session_of(path.auth, (await path.account()).account_id)).access
    accounts, people = await crowd.accounts(POOL), await crowd.accounts(10)
    seen = refusals_shown(f"{AUTH}/token")
    await set_read_only(databases, on=True)

    refused = [is_as_usual(await path.auth.log_in(account.username)) for account in accounts]
    assert await listings(path.auth, access, POOL) == [200] * POOL
    assert refusals_shown(f"{AUTH}/token") - seen == len(refused)

    await set_read_only(databases, on=False)
    async with connected(databases.auth_url) as path.sql:
        await crowd.recovered(people, time.monotonic(), RECOVERED_WITHIN)
        assert all(await asyncio.gather(*(crowd.log_in(account) for account in accounts)))
        await promises.kept()
        await crowd.one_success_each()
