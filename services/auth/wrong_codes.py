"""Wrong codes in a row of one account, across its challenges: beyond the limit mailed codes are off for it.

They stay off until an administrator lets it in again (services.auth.unlock): 100 guesses at a million codes, and not
100 a day. NIST SP 800-63B section 3.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, delete, exists, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.notices import tell_owner
from services.auth.tables import challenges, code_failures, trail
from shared.problems import Problem

log = structlog.get_logger()


class CodesOff(Problem):
    """Told to nobody but who has the right password, whom a temporary token would have told that it is right."""

    status = 400
    code = "codes_off"
    detail = "Codes by mail are off for this account after too many wrong ones; an administrator can let it in again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """Counted as wrong; `number` is the how manieth in a row."""

    account: UUID
    number: int


@dataclass(frozen=True, slots=True)
class WrongCodes:
    limit: int

    async def count(self, connection: AsyncConnection, challenge_id: UUID) -> Guess | None:
        """Count a code as wrong before it is compared; None beyond the limit.

        The account's row stays locked until the commit: of codes at once none can overtake the count.
        """
        whose = select(challenges.c.account_id, literal(1)).where(challenges.c.id == challenge_id)
        new = insert(code_failures).from_select(["account_id", "failures"], whose)
        counted = new.on_conflict_do_update(
            index_elements=["account_id"],
            set_={"failures": code_failures.c.failures + 1},
            where=code_failures.c.failures < self.limit,
        ).returning(code_failures.c.account_id, code_failures.c.failures)
        row = (await connection.execute(counted)).one_or_none()
        return Guess(account=row.account_id, number=row.failures) if row is not None else None

    async def was_wrong(self, connection: AsyncConnection, guess: Guess) -> None:
        if guess.number >= self.limit:
            await trail.record(connection, "codes_turned_off", account=guess.account)
            await tell_owner(connection, guess.account, "codes_off")
            log.warning("mailed codes are off", account=str(guess.account), wrong_codes=guess.number)

    async def was_right(self, connection: AsyncConnection, guess: Guess) -> None:
        await connection.execute(delete(code_failures).where(code_failures.c.account_id == guess.account))

    async def was_not_compared(self, connection: AsyncConnection, guess: Guess) -> None:
        less = update(code_failures).values(failures=code_failures.c.failures - 1)
        await connection.execute(less.where(code_failures.c.account_id == guess.account))

    def are_off(self, account: ColumnElement[UUID]) -> ColumnElement[bool]:
        return exists().where(code_failures.c.account_id == account, code_failures.c.failures >= self.limit)

    async def refuse(self, connection: AsyncConnection, account: UUID) -> None:
        """Raises `CodesOff`."""
        if (await connection.execute(select(self.are_off(literal(account))))).scalar_one():
            raise CodesOff
