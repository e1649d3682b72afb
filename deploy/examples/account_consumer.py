"""A program of another team: keeps the accounts and ended sessions of Login2FA, and says whether an access token holds.

    pip install aio-pika
    export RABBITMQ_URL=$(cat secrets/consumer_orders_rabbitmq_url) QUEUE=consumer.orders.1 DATABASE=orders.sqlite
    python account_consumer.py

docs/events.md has the rules that it follows. Copy it, and keep the tables in a database of your own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aio_pika

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, epoch INTEGER NOT NULL, kept_session TEXT,
    is_active INTEGER NOT NULL, deleted INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS ended_sessions (id TEXT PRIMARY KEY, until TEXT NOT NULL);
"""

# A deletion is final. Else only a higher version changes something: events come more than once, and in any order.
_KEEP_ACCOUNT: Final = """
INSERT INTO accounts VALUES (:account_id, :version, :epoch, :kept_session, :is_active, :deleted)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, epoch = excluded.epoch,
    kept_session = excluded.kept_session, is_active = excluded.is_active, deleted = excluded.deleted
WHERE NOT accounts.deleted AND (excluded.deleted OR excluded.version > accounts.version)
"""

_CLOCKS_APART: Final = timedelta(minutes=10)


class ReadModel:
    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        self._database.executescript(_TABLES)

    def apply(self, event_type: str, event: Mapping[str, Any]) -> None:
        """Committed when it returns. Other events, and fields that came later, are passed over."""
        with self._database as database:
            if event_type == "users.account_public.v1":
                database.execute(_KEEP_ACCOUNT, event)
            elif event_type == "auth.session_ended.v1":
                ended = [(session, event["until"]) for session in event["session_ids"]]
                database.executemany("INSERT OR IGNORE INTO ended_sessions VALUES (?, ?)", ended)
                long_ago = (datetime.now(UTC) - _CLOCKS_APART).isoformat(timespec="microseconds")
                database.execute("DELETE FROM ended_sessions WHERE until < ?", (long_ago,))

    def holds(self, claims: Mapping[str, Any]) -> bool | None:
        """Whether the session of an access token goes on; verify its signature and `exp` first. None: not known here,
        so ask `POST /api/v1/auth/verify-token`.
        """
        find = "SELECT epoch, kept_session, is_active AND NOT deleted FROM accounts WHERE id = ?"
        account = self._database.execute(find, (claims["sub"],)).fetchone()
        if account is None:
            return None
        epoch, kept_session, is_active = account
        # A token of a higher epoch is newer than the event that we wait for.
        of_epoch = claims["epoch"] >= epoch or claims["sid"] == kept_session
        ended = self._database.execute("SELECT 1 FROM ended_sessions WHERE id = ?", (claims["sid"],)).fetchone()
        return bool(is_active and of_epoch and not ended)


async def main() -> None:
    kept = ReadModel(os.environ["DATABASE"])
    connection = await aio_pika.connect_robust(os.environ["RABBITMQ_URL"])
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=100)
        queue = await channel.get_queue(os.environ["QUEUE"], ensure=False)  # our user may not declare it
        async with queue.iterator() as messages:
            async for message in messages:
                kept.apply(message.type or "", json.loads(message.body))
                await message.ack()  # after the commit: what is lost before it comes again


if __name__ == "__main__":
    asyncio.run(main())
