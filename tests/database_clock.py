"""A clock of the database that stands still, and moves when a test says so.

What must hold at 3:59 and no longer at 4:00 is asked at exactly these moments: nothing waits, and a busy machine
changes nothing. `now()` and `clock_timestamp()` are found in the service's schema before those of Postgres.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import asyncpg

_SETUP = """
CREATE TABLE {schema}.clock AS SELECT date_trunc('second', pg_catalog.now()) AS moment;
GRANT SELECT ON {schema}.clock TO {schema};
CREATE FUNCTION {schema}.now() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT moment FROM {schema}.clock';
CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
    AS 'SELECT moment FROM {schema}.clock';
DO $$
DECLARE
    found record;
BEGIN
    EXECUTE format('ALTER ROLE {schema} IN DATABASE %I SET search_path = {schema}, pg_catalog', current_database());
    FOR found IN
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = '{schema}' AND column_default = 'now()'
    LOOP
        EXECUTE format(
            'ALTER TABLE {schema}.%I ALTER COLUMN %I SET DEFAULT {schema}.now()', found.table_name, found.column_name
        );
    END LOOP;
END
$$;
"""

# What the relay has published is no longer there when it moves: the row goes a moment after the message has come.
_RELAY_IS_DONE = "SELECT FROM {schema}.outbox FOR UPDATE"

_MOVE = (
    "UPDATE {schema}.outbox SET created_at = created_at + $1::interval WHERE type = '{schema}.audit.v1'",
    "UPDATE {schema}.clock SET moment = moment + $1::interval",
)


class DatabaseClock:
    """`schema`: that of the service, and the name of its role."""

    def __init__(self, admin: asyncpg.Connection, schema: Literal["auth", "users"] = "auth") -> None:
        self._admin = admin
        self._schema = schema

    async def stop(self) -> None:
        """From now on it stands still, for every connection that the service will open."""
        early = await self._admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1", self._schema
        )
        assert not early, "ask for the clock before the service: its connections keep the clock they began with"
        await self._admin.execute(_SETUP.format(schema=self._schema))

    async def now(self) -> datetime:
        moment: datetime = await self._admin.fetchval(f"SELECT moment FROM {self._schema}.clock")
        return moment

    async def forward(self, seconds: float) -> None:
        """Records that the relay has not looked at yet are as young as before: its second passes on no clock here."""
        async with self._admin.transaction():
            await self._admin.execute(_RELAY_IS_DONE.format(schema=self._schema))
            for statement in _MOVE:
                await self._admin.execute(statement.format(schema=self._schema), timedelta(seconds=seconds))
