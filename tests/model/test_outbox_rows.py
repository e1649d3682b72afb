"""The outbox in memory does for the relay what Postgres does: the model would prove nothing otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import outbox
from shared.database.pool import Database
from shared.messaging.outbox import add
from shared.messaging.relay import deletion
from shared.sealing import Sealer
from tests.builders import otp_requested
from tests.model.outbox_rows import MemoryDatabase, Rows
from tests.servers.databases import Databases, connected

SEALER = Sealer([Fernet.generate_key().decode()])


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two pools of one database; `lose` ends the connections of `first`."""

    first: Database
    second: Database
    lose: Callable[[], Awaitable[object]]


class MindChanged(Exception):
    """Raised in a transaction to roll it back."""


@pytest.fixture(params=["in memory", "on Postgres"])
async def replicas(request: pytest.FixtureRequest, databases: Databases) -> AsyncIterator[Replicas]:
    if request.param == "in memory":
        rows = Rows(lambda: datetime.now(UTC))
        first = MemoryDatabase(rows)

        async def lose() -> object:
            return first.lose_connections()

        yield Replicas(first, MemoryDatabase(rows), lose)
        return
    real, other = Database(databases.auth_url, pool_size=1), Database(databases.auth_url)
    async with connected(databases.admin_url) as admin:

        async def terminate() -> object:
            claimed = "SELECT pid FROM pg_stat_activity WHERE usename = 'auth' AND state = 'idle in transaction'"
            return await admin.fetch(f"SELECT pg_terminate_backend(pid, 10000) FROM ({claimed}) AS its")

        yield Replicas(real, other, terminate)
    await real.close()
    await other.close()


async def claimed(connection: AsyncConnection, most: int = 10) -> list[int]:
    """Ids of rows, in their order, as the relay claims them."""
    claim = select(outbox).order_by(outbox.c.id).limit(most).with_for_update(skip_locked=True)
    return [row.id for row in (await connection.execute(claim)).all()]


async def committed(database: Database, count: int) -> None:
    for _ in range(count):
        async with database.transaction() as connection:
            await add(connection, outbox, otp_requested(SEALER))


async def test_an_event_is_there_once_its_transaction_has_committed(replicas: Replicas) -> None:
    async with replicas.first.transaction() as writer:
        await add(writer, outbox, otp_requested(SEALER))
        async with replicas.second.transaction() as reader:
            before = await claimed(reader)

    async with replicas.second.transaction() as reader:
        assert (len(before), len(await claimed(reader))) == (0, 1)


async def test_the_event_of_a_rolled_back_transaction_has_never_been(replicas: Replicas) -> None:
    async def write_and_change_mind() -> None:
        async with replicas.first.transaction() as writer:
            await add(writer, outbox, otp_requested(SEALER))
            raise MindChanged

    with pytest.raises(MindChanged):
        await write_and_change_mind()

    async with replicas.second.transaction() as reader:
        assert await claimed(reader) == []


async def test_a_claimed_row_is_skipped_by_others_until_the_claim_ends(replicas: Replicas) -> None:
    await committed(replicas.first, 3)

    async with replicas.first.transaction() as one:
        mine = await claimed(one, 2)
        async with replicas.second.transaction() as two:
            theirs = await claimed(two)
    async with replicas.second.transaction() as later:
        assert (len(mine), len(theirs)) == (2, 1)
        assert await claimed(later) == mine + theirs == sorted(mine + theirs)


async def test_what_a_committed_claim_deleted_is_gone_and_nothing_else(replicas: Replicas) -> None:
    await committed(replicas.first, 3)

    async with replicas.first.transaction() as relay:
        rows = await claimed(relay)
        await relay.execute(deletion(outbox), {"confirmed": rows[:2]})

    async with replicas.second.transaction() as other:
        assert await claimed(other) == rows[2:]


async def test_a_relay_that_deletes_nothing_leaves_all(replicas: Replicas) -> None:
    await committed(replicas.first, 2)

    async with replicas.first.transaction() as relay:
        rows = await claimed(relay)
        await relay.execute(deletion(outbox), {"confirmed": []})

    async with replicas.second.transaction() as other:
        assert await claimed(other) == rows


async def test_a_lost_connection_frees_its_rows_at_once_and_undoes_its_deletions(replicas: Replicas) -> None:
    await committed(replicas.first, 2)

    seen: list[list[int]] = []

    async def delete_and_lose_connection() -> None:
        async with replicas.first.transaction() as relay:
            seen.append(await claimed(relay))
            await relay.execute(deletion(outbox), {"confirmed": seen[0]})
            await replicas.lose()
            async with replicas.second.transaction() as other:
                seen.append(await claimed(other))

    with pytest.raises(Exception, match=r"(?i)connection|lost"):
        await delete_and_lose_connection()

    assert len(seen[0]) == 2
    assert seen[1] == seen[0]
