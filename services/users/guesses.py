"""Limits on guesses by the holder of an access token. Each counts before its answer, so concurrent ones count too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Table, case, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from services.users.problems import TooManyGuesses, TooManyNames
from services.users.tables import name_guesses, password_guesses
from shared.database.expiry import Expired
from shared.database.pool import Database
from shared.web.problems import TooManyRequests

_FORGOTTEN: Final = timedelta(hours=1)

EXPIRED: Expired = tuple(
    (table, table.c.last_at < func.now() - _FORGOTTEN) for table in (password_guesses, name_guesses)
)


@dataclass(frozen=True, slots=True)
class Guesses:
    table: Table
    refusal: type[TooManyRequests]

    async def count(self, database: Database, account: UUID, *, limit: int) -> None:
        """Raises `refusal` after `limit` guesses, until an hour after the last."""
        row = self.table.c
        over = row.last_at <= func.now() - _FORGOTTEN
        new = insert(self.table).values(account_id=account, guesses=1)
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
        raise self.refusal(float(seconds or 0))

    async def forgive(self, database: Database, account: UUID) -> None:
        async with database.transaction() as connection:
            await connection.execute(delete(self.table).where(self.table.c.account_id == account))


PASSWORDS: Final = Guesses(password_guesses, TooManyGuesses)
NAMES: Final = Guesses(name_guesses, TooManyNames)
