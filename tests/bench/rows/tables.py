"""Tables that much has gone through: 1,000,000 events, and 1,000,000 challenges and sessions that have expired.

They come in blocks, and after each the service removes them by itself: the size that the last block leaves behind is
set beside what the second one left, for Postgres uses the pages of an index again a vacuum later. What it does by
itself within a minute (autovacuum) is asked for, in the middle of each block and after it. A
claim is set beside one from a table that is new, in turn.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg

from shared.messaging.relay import BY_INDEX
from tests.bench import cpu, people
from tests.bench.bench import SHORTER, Bench
from tests.bench.measured import Comparison, Result, Sample, Side, compare, in_turn
from tests.bench.people import MANY
from tests.bench.system import System, system
from tests.bench.workers import Worker
from tests.polling import eventually
from tests.servers.databases import connected

_BLOCKS = 5
_EVENTS = 200_000  # a block
_CHALLENGES = _SESSIONS = 100_000
_CLAIMS = 50  # a turn
_WAIT_SECONDS = 120.0

_EVENT = """INSERT INTO {table} (event_id, type, body, correlation_id)
    SELECT gen_random_uuid(), 'auth.otp_requested.v1', repeat('x', 580), 'bench'
    FROM generate_series(1, $1::bigint)"""
_CHALLENGE = """INSERT INTO auth.challenges
        (id, account_id, email_key_hash, epoch, factors_version, methods, code_mac, code_event_id, created_at, sent_at,
         expires_at)
    SELECT gen_random_uuid(), gen_random_uuid(), uuid_send(gen_random_uuid()), 0, 0, '{email}', '', gen_random_uuid(),
        long_ago, long_ago, long_ago
    FROM generate_series(1, $1::bigint), (SELECT now() - interval '2 hours') AS past (long_ago)"""
_SESSION = """WITH new AS (
        INSERT INTO auth.sessions (id, account_id, epoch, amr, began_at, auth_time, expires_at)
        SELECT gen_random_uuid(), gen_random_uuid(), 0, '{pwd}', long_ago, long_ago, long_ago
        FROM generate_series(1, $1::bigint), (SELECT now() - interval '2 hours') AS past (long_ago)
        RETURNING id, amr, expires_at)
    INSERT INTO auth.refresh_tokens (id, session_id, amr, expires_at)
        SELECT gen_random_uuid(), id, amr, expires_at FROM new"""
_CLAIM = "SELECT * FROM {table} ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED"
_USED, _NEW = "auth.outbox", "auth.new_outbox"
_SWEPT = ("challenges", "sessions", "refresh_tokens")


async def tables(bench: Bench) -> list[Result]:
    async with (
        system(bench.servers, bench.sink.ready["port"], bench.folder, "tables") as product,
        connected(product.databases.admin_url) as connection,
    ):
        await people.fill(connection, MANY)
        async with Worker("tests.bench.relay_alone", product.databases.auth_url, "instant") as relay:
            events = await _blocks(bench, "events", lambda: _event_block(connection, relay))
        claims = compare(_CLAIM_ASKED, await _claims(bench, connection))
        swept = await _blocks(bench, "expired rows", lambda: _expired_block(product, connection))
    return [_size("outbox", events), claims, *(_size(table, swept) for table in _SWEPT)]


async def _blocks(bench: Bench, what: str, block: Callable[[], Awaitable[Sample]]) -> list[Sample]:
    samples = []
    for number in range(_BLOCKS):
        began = time.monotonic()
        samples.append(await block())
        figures = ", ".join(f"{name} {value:.3g}" for name, value in samples[-1].figures.items())
        bench.say(f"{what}, block {number + 1} of {_BLOCKS}, {time.monotonic() - began:.0f} s: {figures}")
    return samples


_NOTE = f"{_BLOCKS} blocks of {_EVENTS:,} events, {_CHALLENGES:,} challenges and {_SESSIONS:,} sessions"
_CLAIM_ASKED = Comparison(
    row="tables", what="a claim after all blocks beside one from a new table", ours=_USED, limit=_NEW,
    figure="claim", unit="µs of Postgres", bound="at most", target=1.15, note=_NOTE,
)  # fmt: skip


def _size(table: str, samples: Sequence[Sample]) -> Result:
    asked = Comparison(
        row="tables", what=f"{table} after the last block beside the second", ours="last", limit="second",
        figure=table, unit="MiB", bound="at most", target=1.15, note=_NOTE,
    )  # fmt: skip
    return compare(asked, {"second": samples[1:2], "last": samples[-1:]})


async def _event_block(connection: asyncpg.Connection, relay: Worker) -> Sample:
    """The bus confirms at once: a million confirms of a broker would take longer than all other rows."""
    await connection.execute(_EVENT.format(table=_USED), _EVENTS, timeout=_WAIT_SECONDS)
    await connection.execute(f"ANALYZE {_USED}", timeout=_WAIT_SECONDS)
    done = await relay.ask(count=_EVENTS)
    await connection.execute(f"VACUUM ANALYZE {_USED}", timeout=_WAIT_SECONDS)
    size, drained = await _mebibytes(connection, "outbox"), done["seconds"] / _EVENTS * 1e6
    return Sample(figures={"outbox": size, "microseconds an event": drained})


async def _claims(bench: Bench, connection: asyncpg.Connection) -> dict[str, list[Sample]]:
    """Microseconds of Postgres' processor time, with a full batch there. All is rolled back."""
    backend = (await connection.fetchval("SELECT pg_backend_pid()"),)

    def side(table: str) -> Side:
        async def claims() -> Sample:
            used = cpu.seconds(backend)
            for _ in range(_CLAIMS):
                await connection.fetch(_CLAIM.format(table=table))
            return Sample(figures={"claim": (cpu.seconds(backend) - used) / _CLAIMS * 1e6})

        return claims

    async with _rolled_back(connection):
        await connection.execute(str(BY_INDEX))
        await connection.execute(f"CREATE TABLE {_NEW} (LIKE {_USED} INCLUDING ALL)")
        for table in (_USED, _NEW):
            await connection.execute(_EVENT.format(table=table), 1000)
        return await in_turn({table: side(table) for table in (_USED, _NEW)}, bench.say, bench.rounds * SHORTER)


async def _expired_block(product: System, connection: asyncpg.Connection) -> Sample:
    """Auth sweeps within a minute of its start, in batches, until nothing is left."""
    await connection.execute(_CHALLENGE, _CHALLENGES, timeout=_WAIT_SECONDS)
    await connection.execute(_SESSION, _SESSIONS, timeout=_WAIT_SECONDS)
    await product.start("auth")

    async def swept() -> bool:
        left = [f"EXISTS (SELECT FROM auth.{table} WHERE expires_at < now())" for table in _SWEPT]
        return not await connection.fetchval(f"SELECT {' OR '.join(left)}", timeout=_WAIT_SECONDS)

    await eventually(swept, _WAIT_SECONDS)
    await product.stop("auth")
    for table in _SWEPT:
        await connection.execute(f"VACUUM ANALYZE auth.{table}", timeout=_WAIT_SECONDS)
    return Sample(figures={table: await _mebibytes(connection, table) for table in _SWEPT})


async def _mebibytes(connection: asyncpg.Connection, table: str) -> float:
    return float(await connection.fetchval(f"SELECT pg_total_relation_size('auth.{table}') / 1048576.0"))


@asynccontextmanager
async def _rolled_back(connection: asyncpg.Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
