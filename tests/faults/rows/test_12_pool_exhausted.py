"""Row 12: a slow trigger, 200 clients, and no connection left in the pool.

503 quickly and with `Retry-After` (I6), liveness still answers, readiness tells (I10), and everything heals.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx

from tests.auth_steps import pair
from tests.faults.rows.crowd import is_as_usual, sessions_of
from tests.faults.rows.promises import Promises
from tests.faults.rows.served import nothing_is_held, served
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.polling import eventually
from tests.servers.databases import Databases, connected

CLIENTS = 200
POOL = 10
SHOWN_WITHIN = 30.0
QUICKLY = 25.0  # it waits 3 s for a connection, and a statement may take 10

# It takes as long as the test holds the lock.
_SLOW = """
CREATE FUNCTION public.be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(12);
    RETURN NEW;
END $$;
CREATE TRIGGER slow BEFORE UPDATE ON auth.refresh_tokens FOR EACH ROW EXECUTE FUNCTION public.be_slow();
"""


@asynccontextmanager
async def slow(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """Inside the block each refresh stands still in the middle of its transaction."""
    async with connected(databases.admin_url) as admin:
        await admin.execute(_SLOW)
        await admin.execute("SELECT pg_advisory_lock(12)")
        try:
            yield admin
        finally:
            await admin.execute("SELECT pg_advisory_unlock(12)")


async def test_who_gets_no_connection_is_told_so_quickly_and_liveness_answers(
    path: CodesPath, databases: Databases, promises: Promises
) -> None:
    somebody = await path.account()
    sessions = await sessions_of(path.auth, somebody.account_id, CLIENTS)
    async with served(path) as server:
        async with slow(databases):
            asked = [asyncio.create_task(server.auth.refresh(held.refresh)) for held in sessions]
            login = asyncio.create_task(server.auth.log_in(somebody.username))
            await eventually(lambda: database_missing(server.operator), SHOWN_WITHIN)
            assert (await server.operator.get("/livez")).status_code == 200
            # While the others still hold what they have.
            await eventually(lambda: sum(each.done() for each in asked) >= CLIENTS - POOL, QUICKLY)
            refused = [each.result() for each in asked if each.done()]
            is_as_usual(await login, 200)
        assert not any(is_as_usual(answer) for answer in refused)

        answers = await asyncio.gather(*asked)
        await eventually(lambda: ready(server.operator), PATIENCE)
        unused = [held for held, answer in zip(sessions, answers, strict=True) if not is_as_usual(answer, 200)]
        for held in unused[:20]:
            pair(await server.auth.refresh(held.refresh))
        await nothing_is_held(path)
    await path.start_notifier()
    await promises.several(1)
    await promises.kept()


async def database_missing(operator: httpx.AsyncClient) -> bool:
    answer = await operator.get("/readyz")
    return answer.status_code == 503 and not answer.json()["checks"]["auth-database"]


async def ready(operator: httpx.AsyncClient) -> bool:
    return (await operator.get("/readyz")).status_code == 200
