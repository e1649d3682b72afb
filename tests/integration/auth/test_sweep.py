"""What has expired goes by itself; what may still be asked for stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.auth.expiry import expired
from shared.database import expiry
from shared.database.expiry import sweep_forever
from shared.database.pool import Database
from tests.polling import eventually
from tests.servers.databases import Databases

CHALLENGES = """
INSERT INTO auth.challenges (id, account_id, email_key_hash, epoch, factors_version, methods, expires_at)
SELECT gen_random_uuid(), gen_random_uuid(), '', 0, 0, '{email}', now() + make_interval(mins => $1)
FROM generate_series(1, $2)
"""
SESSIONS = """
WITH session AS (
    INSERT INTO auth.sessions (id, account_id, epoch, amr, expires_at)
    SELECT gen_random_uuid(), gen_random_uuid(), 0, '{pwd}', now() + make_interval(mins => $1)
    FROM generate_series(1, $2)
    RETURNING id, expires_at
)
INSERT INTO auth.refresh_tokens (id, session_id, amr, expires_at, used_at)
SELECT gen_random_uuid(), id, '{pwd}', expires_at, now() FROM session
"""
FAILURES = """
INSERT INTO auth.login_failures (name_hash, address, failures, last_at)
SELECT '', gen_random_uuid()::text, 1, now() + make_interval(mins => $1) FROM generate_series(1, $2)
"""
NAMES = """
INSERT INTO auth.name_failures (name_hash, failed_at, last_at)
SELECT uuid_send(gen_random_uuid()), '{}', now() + make_interval(mins => $1) FROM generate_series(1, $2)
"""
ADDRESSES = """
INSERT INTO auth.address_failures (address_hash, failed_at, last_at)
SELECT uuid_send(gen_random_uuid()), '{}', now() + make_interval(mins => $1) FROM generate_series(1, $2)
"""
FAMILIAR = """
INSERT INTO auth.familiar_addresses (account_id, address_hash, last_at)
SELECT gen_random_uuid(), '', now() + make_interval(mins => $1) FROM generate_series(1, $2)
"""
NOTIFIERS = """
INSERT INTO auth.notifiers (instance_id, number, heard_at)
SELECT gen_random_uuid(), 1, now() + make_interval(mins => $1) FROM generate_series(1, $2)
"""
NOTICES = """
INSERT INTO auth.notices (email_key_hash, words, told_at, last_at)
SELECT uuid_send(gen_random_uuid()), '{}', '{}', now() + make_interval(mins => $1) FROM generate_series(1, $2)
"""
CEREMONIES = """
INSERT INTO auth.used_ceremonies (id, expires_at)
SELECT gen_random_uuid(), now() + make_interval(mins => $1) FROM generate_series(1, $2)
"""
DEVICES = """
INSERT INTO auth.trusted_devices (id, account_id, token_hash, epoch, factors_version, expires_at)
SELECT gen_random_uuid(), gen_random_uuid(), uuid_send(gen_random_uuid()), 0, 0, now() + make_interval(mins => $1)
FROM generate_series(1, $2)
"""
APPS = """
INSERT INTO auth.totp (id, account_id, sealed_secret, name, created_at)
SELECT gen_random_uuid(), gen_random_uuid(), '', '', now() + make_interval(mins => $1) FROM generate_series(1, $2)
"""
# Each with the minutes, from now, of what has expired a minute ago. The hourly cap counts the challenges of the last
# hour; a used refresh token must be found out while it lives; an old heartbeat could be sent again.
GONE = (
    (CHALLENGES, -61),
    (SESSIONS, -1),
    (FAILURES, -1441),
    (NAMES, -61),
    (ADDRESSES, -61),
    (FAMILIAR, -1441),
    (NOTIFIERS, -2881),
    (NOTICES, -1441),
    (CEREMONIES, -61),
    (DEVICES, -1),
    (APPS, -11),
)
TABLES = (
    "challenges",
    "sessions",
    "refresh_tokens",
    "login_failures",
    "name_failures",
    "address_failures",
    "familiar_addresses",
    "notifiers",
    "notices",
    "used_ceremonies",
    "trusted_devices",
    "totp",
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "_INTERVAL", 0.05)


@asynccontextmanager
async def sweeping(databases: Databases) -> AsyncIterator[asyncio.Task[None]]:
    database = Database(databases.auth_url)
    task = asyncio.create_task(sweep_forever(database, expired(familiar_address_lifetime=86400)))
    yield task
    task.cancel()
    await asyncio.wait([task])
    await database.close()


async def test_only_what_has_expired_is_removed_however_much_it_is(
    databases: Databases, sql: asyncpg.Connection
) -> None:
    for statement, gone in GONE:
        stays = gone + 2
        await sql.execute(statement, gone, 2300)  # several batches
        await sql.execute(statement, stays, 7)

    async def left() -> bool:
        counts = [await sql.fetchval(f"SELECT count(*) FROM auth.{table}") for table in TABLES]
        return counts == [7] * len(TABLES)

    async with sweeping(databases), sweeping(databases):
        await eventually(left)
