"""Reports the administrators to auth every few seconds, through the outbox (docs/decisions/0014-in-step.md)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy import exists, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.tables import accounts, in_step, incarnation, outbox
from shared.database.pool import Database
from shared.messaging.events import InStep
from shared.messaging.outbox import add

log = structlog.get_logger()


async def report_forever(database: Database, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            async with database.transaction() as connection:
                if await _claim_turn(connection, timedelta(seconds=every)):
                    await report(connection)
        except (SQLAlchemyError, OSError) as error:
            log.warning("auth not told that users is in step", error=type(error).__name__)


async def report(connection: AsyncConnection) -> None:
    """The report includes all changes committed by its `moment`."""
    moment, published = (await connection.execute(select(func.now(), incarnation.c.published))).one()
    query = select(accounts.c.id, accounts.c.version).where(accounts.c.is_admin, accounts.c.is_active)
    administrators = tuple((row.id, row.version) for row in await connection.execute(query))
    await add(connection, outbox, InStep(moment=moment, incarnation=published, administrators=administrators))


async def _claim_turn(connection: AsyncConnection, every: timedelta) -> bool:
    """No turn while the last report waits in the outbox: reports would pile up while the broker is away."""
    # Tolerance: replicas do not wake in the same millisecond.
    due = in_step.c.told_at < func.now() - every * 0.9
    waits = exists().where(outbox.c.type == InStep.type)
    turn = update(in_step).values(told_at=func.now()).where(due, ~waits)
    return (await connection.execute(turn)).rowcount == 1
