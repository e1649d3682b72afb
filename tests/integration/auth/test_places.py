"""Places under the limits on wrong passwords, given back: nothing is kept of who knows the password."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.auth_steps import Accounts
from tests.composed import AuthApp
from tests.polling import eventually
from tests.servers.databases import Databases, connected

HOME, ELSEWHERE = "198.51.100.7", "203.0.113.1"

TWO_WAIT_FOR_A_LOCK = """
SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
"""


async def log_in(auth: AuthApp, username: str, address: str = HOME) -> int:
    return (await auth.log_in(username, address=address)).status_code


async def nothing_is_left(sql: asyncpg.Connection) -> bool:
    tables = ("login_failures", "name_failures", "address_failures")
    return not any([await sql.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


async def test_nothing_is_left_of_logins_that_succeed(
    auth_app: AuthApp, accounts: Accounts, sql: asyncpg.Connection
) -> None:
    account = await accounts.new()

    assert await asyncio.gather(*(log_in(auth_app, account.username) for _ in range(5))) == [200] * 5

    assert await nothing_is_left(sql)


@pytest.mark.parametrize("addresses", [(HOME, HOME), (HOME, ELSEWHERE)])
async def test_nothing_is_left_of_two_logins_that_end_at_the_same_moment(
    auth_app: AuthApp,
    databases: Databases,
    accounts: Accounts,
    sql: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    addresses: tuple[str, str],
) -> None:
    """The last statement of each begins while the other still has its place, and ends when it has none."""
    account, verify, together = await accounts.new(), auth_app.parts.passwords.verify, asyncio.Barrier(3)

    async def verified_together(password: str, stored: str | None, *_: Any) -> bool:
        await together.wait()
        await together.wait()
        return await verify(password, stored)

    monkeypatch.setattr(auth_app.parts.passwords, "verify", verified_together)
    async with asyncio.TaskGroup() as logins, connected(databases.auth_url) as other:
        answers = [logins.create_task(log_in(auth_app, account.username, address)) for address in addresses]
        await together.wait()  # both have their places
        async with other.transaction():
            await other.execute("SELECT FROM login_failures FOR UPDATE")
            await other.execute("SELECT FROM name_failures FOR UPDATE")
            await together.wait()
            await eventually(lambda: sql.fetchval(TWO_WAIT_FOR_A_LOCK))

    assert [answer.result() for answer in answers] == [200, 200]
    assert await nothing_is_left(sql)
