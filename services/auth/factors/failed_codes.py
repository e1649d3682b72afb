"""Counts wrong codes in a row per account, across challenges and kinds of code. At the limit its codes are off until an
administrator unlocks it: 100 guesses at a million codes, not 100 a day (NIST SP 800-63B section 3.2.2). A passkey can
not be guessed: it neither counts nor is turned off, so nobody with a stolen password can lock out its owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import CTE, ColumnElement, Uuid, bindparam, exists, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.notices import Notices
from services.auth.tables import challenges, code_failures, trail
from shared.web.problems import Problem

log = structlog.get_logger()


class CodesOff(Problem):
    """Only a caller with the right password gets this; a temporary token would reveal the same."""

    status = 400
    code = "codes_off"
    detail = "Codes are off for this account after too many wrong ones; an administrator can let it in again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    account: UUID
    number: int


@dataclass(frozen=True, slots=True)
class WrongCodes:
    limit: int
    notices: Notices

    def counted(self) -> CTE:
        """Counts a code as wrong before it is compared. The lock lasts until the commit: concurrent codes count too."""
        challenge = bindparam("challenge", type_=Uuid)
        owner = select(challenges.c.account_id, literal(1)).where(challenges.c.id == challenge)
        new = insert(code_failures).from_select(["account_id", "failures"], owner)
        counted = new.on_conflict_do_update(
            index_elements=["account_id"],
            set_={"failures": code_failures.c.failures + 1},
            where=code_failures.c.failures < self.limit,
        ).returning(code_failures.c.account_id, code_failures.c.failures)
        return counted.cte("counted")

    async def was_wrong(self, connection: AsyncConnection, guess: Guess) -> None:
        if guess.number >= self.limit:
            await trail.record(connection, "codes_turned_off", account=guess.account)
            await self.notices.tell_owner(connection, guess.account, "codes_off")
            log.warning("mailed codes are off", account=str(guess.account), wrong_codes=guess.number)

    async def was_not_compared(self, connection: AsyncConnection, guess: Guess) -> None:
        less = update(code_failures).values(failures=code_failures.c.failures - 1)
        await connection.execute(less.where(code_failures.c.account_id == guess.account))

    def are_off(self, account: ColumnElement[UUID]) -> ColumnElement[bool]:
        return exists().where(code_failures.c.account_id == account, code_failures.c.failures >= self.limit)
