"""Deletes expired rows in small batches, on every replica; replicas skip each other's rows."""

from __future__ import annotations

import asyncio
import random

import structlog
from sqlalchemy import ColumnElement, Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

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
    while await _sweep_batch(database, expired) == _BATCH:
        pass


async def _sweep_batch(database: Database, rows: Expired) -> int:
    """One batch per table, each in its own transaction; returns the size of the largest."""
    largest = 0
    for table, expired in rows:
        async with database.transaction() as connection:
            largest = max(largest, await _delete_some(connection, table, expired))
    return largest


async def _delete_some(connection: AsyncConnection, table: Table, expired: ColumnElement[bool]) -> int:
    key = tuple_(*table.primary_key.columns)
    some = select(*table.primary_key.columns).where(expired).limit(_BATCH).with_for_update(skip_locked=True)
    return (await connection.execute(delete(table).where(key.in_(some)))).rowcount
