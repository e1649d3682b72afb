"""A clock of the database that stands still, and moves when a test says so.

What must hold at 3:59 and no longer at 4:00 is asked at exactly these moments: nothing waits, and a busy machine
changes nothing. `now()` and `clock_timestamp()` are found in schema `auth` before those of Postgres.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg

_SETUP = """
CREATE TABLE auth.clock AS SELECT date_trunc('second', pg_catalog.now()) AS moment;
GRANT SELECT ON auth.clock TO auth;
CREATE FUNCTION auth.now() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT moment FROM auth.clock';
CREATE FUNCTION auth.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS 'SELECT moment FROM auth.clock';
DO $$
DECLARE
    found record;
BEGIN
    EXECUTE format('ALTER ROLE auth IN DATABASE %I SET search_path = auth, pg_catalog', current_database());
    FOR found IN
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'auth' AND column_default = 'now()'
    LOOP
        EXECUTE format(
            'ALTER TABLE auth.%I ALTER COLUMN %I SET DEFAULT auth.now()', found.table_name, found.column_name
        );
    END LOOP;
END
$$;
"""

# What the relay has published is no longer there when it moves: the row goes a moment after the message has come.
_RELAY_IS_DONE = "SELECT FROM auth.outbox FOR UPDATE"

_MOVE = (
    "UPDATE auth.outbox SET created_at = created_at + $1::interval WHERE type = 'auth.audit.v1'",
    "UPDATE auth.clock SET moment = moment + $1::interval",
)


class DatabaseClock:
    def __init__(self, admin: asyncpg.Connection) -> None:
        self._admin = admin

    async def stop(self) -> None:
        """From now on it stands still, for every connection that auth will open."""
        early = await self._admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'auth'"
        )
        assert not early, "ask for the clock before the service: its connections keep the clock they began with"
        await self._admin.execute(_SETUP)

    async def now(self) -> datetime:
        moment: datetime = await self._admin.fetchval("SELECT moment FROM auth.clock")
        return moment

    async def forward(self, seconds: float) -> None:
        """Records that the relay has not looked at yet are as young as before: its second passes on no clock here."""
        async with self._admin.transaction():
            await self._admin.execute(_RELAY_IS_DONE)
            for statement in _MOVE:
                await self._admin.execute(statement, timedelta(seconds=seconds))
