"""The incarnation of this database, which is higher after a restore (docs/decisions/0014-in-step.md)."""

from __future__ import annotations

from sqlalchemy import BigInteger, cast, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.tables import incarnation


async def present(connection: AsyncConnection) -> int:
    """The lock lasts until the commit: auth would ignore an event with an older incarnation."""
    return int((await connection.execute(select(incarnation.c.number).with_for_update(read=True))).scalar_one())


async def begin(connection: AsyncConnection) -> int:
    """Returns one higher than auth can have seen, whatever the restore has lost. Waits for changes in flight."""
    milliseconds = cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    higher = func.greatest(incarnation.c.number + 1, milliseconds)
    begun = update(incarnation).values(number=higher).returning(incarnation.c.number)
    return int((await connection.execute(begun)).scalar_one())


async def complete(connection: AsyncConnection, number: int) -> None:
    """Call it once all accounts are published: auth then refuses accounts of an older incarnation."""
    whole = update(incarnation).values(published=number)
    await connection.execute(whole.where(incarnation.c.number == number))
