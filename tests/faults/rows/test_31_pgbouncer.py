"""Row 31: PgBouncer, in session and in transaction mode, is killed and started at once, or stopped in order.

I1 and I6; recovered within 5 s of its being back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import text

from shared.database.pool import Database
from tests.faults.rows.crowd import Crowd, sessions_of
from tests.faults.rows.promises import Promises
from tests.integration.codes_path import CodesPath
from tests.polling import eventually
from tests.servers.databases import Databases, connected
from tests.servers.pgbouncer import PREPARES, Mode, PgBouncer, pgbouncer, pgbouncer_program, version

RECOVERED_WITHIN = 5.0
MAX_AGE = 4.0

pytestmark = pytest.mark.long


@pytest.fixture(params=get_args(Mode))
def mode(request: pytest.FixtureRequest) -> Mode:
    mode: Mode = request.param
    return mode


@pytest.fixture
def bouncer(databases_of_our_own: Databases, tmp_path: Path, mode: Mode) -> Iterator[PgBouncer]:
    if mode == "transaction" and version(pgbouncer_program()) < PREPARES:
        pytest.skip("before 1.21 PgBouncer knows no prepared statements in transaction mode: set TEST_PGBOUNCER")
    folder = tmp_path / "pgbouncer"
    folder.mkdir()
    with pgbouncer(folder, databases_of_our_own.admin_url, mode) as bouncer:
        yield bouncer


@pytest.fixture
def databases(databases_of_our_own: Databases, bouncer: PgBouncer) -> Databases:
    """By way of PgBouncer."""
    return Databases(databases_of_our_own.name, bouncer.url(databases_of_our_own.admin_url))


async def test_killed_and_started_at_once_while_people_log_in_and_refresh(
    path: CodesPath, bouncer: PgBouncer, databases_of_our_own: Databases, promises: Promises
) -> None:
    crowd = Crowd(path, promises)
    await path.start_notifier()
    held = await sessions_of(path.auth, (await path.account()).account_id, 4)
    people = await crowd.accounts(150)
    async with crowd.coming(people, held):
        await crowd.until(200, 20)
        await asyncio.to_thread(bouncer.kill)
        await crowd.until(503, 5)
        await asyncio.to_thread(bouncer.start)
        await crowd.recovered(people, time.monotonic(), RECOVERED_WITHIN)
        await crowd.until(200, 20)
    async with connected(databases_of_our_own.auth_url) as path.sql:
        await promises.kept(mails_each=2)  # published, and the deletion of its row lost: once more
        await crowd.one_success_each()
    assert all([await crowd.refresh(each) != each for each in held])


@pytest.mark.parametrize("mode", ["session"], indirect=True)
async def test_asked_to_stop_in_session_mode_it_waits_no_longer_than_the_age_of_connections(
    databases: Databases, bouncer: PgBouncer
) -> None:
    """Connections that nobody uses keep it from ending, too."""
    database = Database(databases.auth_url, max_age=MAX_AGE)

    async def asking(_: int) -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT pg_sleep(0.1)"))

    await asyncio.gather(*map(asking, range(8)))
    bouncer.ask_to_stop()
    await eventually(lambda: bouncer.ended, MAX_AGE + 1)
    await database.close()
