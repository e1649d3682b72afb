"""Deletes expired rows in small batches, on every replica; replicas skip each other's rows."""

from __future__ import annotations

import asyncio
import random

import structlog
from sqlalchemy import ColumnElement, Table, delete, select, tuple_

from shared.database.pool import Database

log = structlog.get_logger()

_INTERVAL = 60.0
_BATCH = 1000

# Tables, each with the condition for its expired rows.
Expired = tuple[tuple[Table, ColumnElement[bool]], ...]


async def sweep_forever(database: Database, expired: Expired) -> None:
    """Run until cancelled, also after failures. The random delay keeps replicas from sweeping together."""
    await asyncio.sleep(random.uniform(0, _INTERVAL))  # noqa: S311 - no secret
    while True:
        try:
            await sweep(database, expired)
        except Exception as error:  # noqa: BLE001 - the next round tries again
            log.warning("sweep failed", error=type(error).__name__)
        await asyncio.sleep(_INTERVAL)


async def sweep(database: Database, expired: Expired) -> None:
    for table, condition in expired:
        while await _delete_batch(database, table, condition) == _BATCH:
            pass


async def _delete_batch(database: Database, table: Table, expired: ColumnElement[bool]) -> int:
    """In a transaction of its own; returns the number of rows."""
    key = table.primary_key.columns
    batch = select(*key).where(expired).limit(_BATCH).with_for_update(skip_locked=True)
    async with database.transaction() as connection:
        return (await connection.execute(delete(table).where(tuple_(*key).in_(batch)))).rowcount
