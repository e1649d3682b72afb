"""Tables that much has gone through: 1,000,000 events, and 1,000,000 challenges and sessions that have expired.

They come in blocks, and after each the service removes them by itself: what the last block leaves behind is set beside
what the second one left, for Postgres uses the pages of an index again a vacuum later. What it does by itself within a
minute (autovacuum) is asked for after each block.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg

from tests.bench import cpu, people
from tests.bench.bench import Bench
from tests.bench.measured import Comparison, Result, Sample, compare
from tests.bench.people import MANY
from tests.bench.system import System, system
from tests.bench.workers import Worker
from tests.polling import eventually
from tests.servers.databases import connected

_BLOCKS = 5
_EVENTS = 200_000  # a block
_CHALLENGES = _SESSIONS = 100_000
_CLAIMS = 2000
_WAIT_SECONDS = 120.0

_EVENT = """INSERT INTO auth.outbox (event_id, type, body, correlation_id)
    SELECT gen_random_uuid(), 'auth.otp_requested.v1', repeat('x', 580), 'bench'
    FROM generate_series(1, $1::bigint)"""
_CHALLENGE = """INSERT INTO auth.challenges (id, account_id, epoch, code_mac, created_at, sent_at, expires_at)
    SELECT gen_random_uuid(), gen_random_uuid(), 0, '', long_ago, long_ago, long_ago
    FROM generate_series(1, $1::bigint), (SELECT now() - interval '2 hours') AS past (long_ago)"""
_SESSION = """WITH new AS (
        INSERT INTO auth.sessions (id, account_id, epoch, amr, auth_time, expires_at)
        SELECT gen_random_uuid(), gen_random_uuid(), 0, '{pwd}', long_ago, long_ago
        FROM generate_series(1, $1::bigint), (SELECT now() - interval '2 hours') AS past (long_ago)
        RETURNING id, expires_at)
    INSERT INTO auth.refresh_tokens (id, session_id, expires_at) SELECT gen_random_uuid(), id, expires_at FROM new"""
_CLAIM = "SELECT * FROM auth.outbox ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED"
_SWEPT = ("challenges", "sessions", "refresh_tokens")


async def tables(bench: Bench) -> list[Result]:
    async with (
        system(bench.servers, bench.sink.ready["port"], bench.folder, "tables") as product,
        connected(product.databases.admin_url) as connection,
    ):
        await people.fill(connection, MANY)
        async with Worker("tests.bench.relay_alone", product.databases.auth_url, "instant") as relay:
            events = await _blocks(bench, "events", lambda: _event_block(connection, relay))
        swept = await _blocks(bench, "expired rows", lambda: _expired_block(product, connection))
    sizes = [_compared(f"MiB of {table}", table, swept) for table in _SWEPT]
    return [_compared("MiB of the outbox", "outbox", events), _compared("µs of a claim", "claim", events), *sizes]


async def _blocks(bench: Bench, what: str, block: Callable[[], Awaitable[Sample]]) -> list[Sample]:
    samples = []
    for number in range(_BLOCKS):
        began = time.monotonic()
        samples.append(await block())
        figures = ", ".join(f"{name} {value:.3g}" for name, value in samples[-1].figures.items())
        bench.say(f"{what}, block {number + 1} of {_BLOCKS}, {time.monotonic() - began:.0f} s: {figures}")
    return samples


def _compared(what: str, figure: str, samples: Sequence[Sample]) -> Result:
    unit, _, of = what.partition(" of ")
    asked = Comparison(
        row="tables", what=f"{of} after the last block beside the second", ours="last", limit="second",
        figure=figure, unit=unit, bound="at most", target=1.15,
        note=f"{_BLOCKS} blocks of {_EVENTS:,} events, {_CHALLENGES:,} challenges and {_SESSIONS:,} sessions",
    )  # fmt: skip
    return compare(asked, {"second": samples[1:2], "last": samples[-1:]})


async def _event_block(connection: asyncpg.Connection, relay: Worker) -> Sample:
    """The bus confirms at once: a million confirms of a broker would take longer than all other rows."""
    await connection.execute(_EVENT, _EVENTS, timeout=_WAIT_SECONDS)
    done = await relay.ask(count=_EVENTS)
    await connection.execute("VACUUM ANALYZE auth.outbox", timeout=_WAIT_SECONDS)
    size = await _mebibytes(connection, "outbox")
    drained = done["seconds"] / _EVENTS * 1e6
    return Sample(figures={"outbox": size, "claim": await _claim(connection), "microseconds an event": drained})


async def _claim(connection: asyncpg.Connection) -> float:
    """Microseconds of Postgres' processor time, with a full batch there. All is rolled back."""
    backend = (await connection.fetchval("SELECT pg_backend_pid()"),)
    async with _rolled_back(connection):
        await connection.execute(_EVENT, 1000)
        used = cpu.seconds(backend)
        for _ in range(_CLAIMS):
            await connection.fetch(_CLAIM)
        return (cpu.seconds(backend) - used) / _CLAIMS * 1e6


async def _expired_block(product: System, connection: asyncpg.Connection) -> Sample:
    """Auth sweeps when it starts, in batches, until nothing is left."""
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
