"""A limit on guesses of the current password, for who holds an access token that is not theirs.

A guess counts before it is compared, so guesses at once are counted too; a right one resets. An owner whom this
refuses logs in anew: a fresh login needs no current password, and has limits of its own.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import case, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from services.users.tables import password_guesses
from shared.database import Database
from shared.problems import TooManyRequests
from shared.sweep import Expired

_FORGOTTEN = timedelta(hours=1)

EXPIRED: Expired = ((password_guesses, password_guesses.c.last_at < func.now() - _FORGOTTEN),)


async def count_guess(database: Database, account: UUID, *, limit: int) -> None:
    """Raises `TooManyRequests` when `limit` guesses in a row were wrong, until an hour after the last."""
    row = password_guesses.c
    over = row.last_at <= func.now() - _FORGOTTEN
    new = insert(password_guesses).values(account_id=account, guesses=1)
    one_more = new.on_conflict_do_update(
        index_elements=["account_id"],
        set_={"guesses": case((over, 1), else_=row.guesses + 1), "last_at": func.now()},
        where=or_(over, row.guesses < limit),
    )
    async with database.transaction() as connection:
        if (await connection.execute(one_more.returning(row.guesses))).one_or_none() is not None:
            return
        # Not `now()`: this transaction may have begun before that guess, and waited for its row.
        left = func.extract("epoch", row.last_at + _FORGOTTEN - func.clock_timestamp())
        seconds = (await connection.execute(select(left).where(row.account_id == account))).scalar_one_or_none()
    raise TooManyRequests(retry_after=float(seconds or 0))


async def forgive(database: Database, account: UUID) -> None:
    async with database.transaction() as connection:
        await connection.execute(delete(password_guesses).where(password_guesses.c.account_id == account))
