"""Which life of the database this is (docs/decisions/0014-in-step.md).

A restored backup has forgotten versions of accounts that auth has seen. A higher incarnation tells auth that what it
hears now is true all the same; within an incarnation the version decides.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, cast, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.tables import incarnation


async def present(connection: AsyncConnection) -> int:
    """It stays so until the commit: an event that named an older one would be lost."""
    number: int = (await connection.execute(select(incarnation.c.number).with_for_update(read=True))).scalar_one()
    return number


async def begin(connection: AsyncConnection) -> int:
    """A higher one than auth can have seen, though the backup that was restored has forgotten which that was.

    Waits for the changes under way, which name the one before.
    """
    milliseconds = cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    higher = func.greatest(incarnation.c.number + 1, milliseconds)
    number: int = (
        await connection.execute(update(incarnation).values(number=higher).returning(incarnation.c.number))
    ).scalar_one()
    return number


async def complete(connection: AsyncConnection, number: int) -> None:
    """All accounts of it have been published: auth lets in none that it knows of an older one alone."""
    whole = update(incarnation).values(published=number)
    await connection.execute(whole.where(incarnation.c.number == number))
