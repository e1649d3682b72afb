"""Limits on wrong passwords, by submitted name: whether or not an account has it, so that a 429 tells nothing.

1. By name and address: some in a row are free, then each doubles the wait; a success resets. While the wait lasts even
   the right password is refused.
2. By name from all addresses: so many an hour. Beyond it only addresses may try from which the account has logged in
   before: a stranger who guesses all day does not shut the owner out.
3. By address, for all names: so many an hour. Beyond it only names may try whose account has logged in from there
   before, under their own limits. An address of TRUSTED_PROXIES is not limited: such a proxy did not say who asked.
4. A place is taken by one statement before the password is hashed, and given back unless it was wrong, so guesses at
   once do not exceed a limit. Who finds all places taken waits for those before it: they may be right.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from services.auth.accounts.notices import Notices
from services.auth.accounts.read_model import Identity
from services.auth.login.attempt_statements import Places, Taken, Whose, give_back, give_back_some
from services.auth.login.known_addresses import Addresses
from services.auth.login.password import IncorrectUsernameOrPassword
from services.auth.parts import Part
from services.auth.settings import AuthSettings
from services.auth.tables import trail
from shared.audit import told
from shared.audit_words import Reason
from shared.database.pool import Database
from shared.web.problems import TooManyRequests

# Seconds before each try for a place but the first; together longer than a guess takes, its hash's queue included. Each
# is longer: a crowd of guesses that waits must not use up the connections of everybody else.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


@dataclass(slots=True, kw_only=True)
class Attempt:
    """`identity`: who had the name when the place was taken. `right`: the password was."""

    whose: Whose
    identity: Identity | None
    right: bool = False
    given_back: bool = False

    def giving_back(self) -> Part:
        """The place of a right password, to be given back in the statement that ends the login."""
        return self.whose.giving_back()


class Throttle:
    def __init__(self, settings: AuthSettings, database: Database, addresses: Addresses, notices: Notices) -> None:
        self._database = database
        self._notices = notices
        self._places = Places(settings, addresses)

    @asynccontextmanager
    async def attempt(self, username: str, address: str) -> AsyncIterator[Attempt]:
        """Around a login: `IncorrectUsernameOrPassword` counts, any other failure does not.

        Raises:
            TooManyRequests: beyond a limit; the block is not entered.
        """
        mine = await self._take_places(username, address)
        try:
            yield mine
        except IncorrectUsernameOrPassword as wrong:
            await self._count(mine, wrong.account)
            raise
        except BaseException:
            with suppress(SQLAlchemyError, OSError):  # the lease ends; what went wrong before is to be told
                await self._give_back(mine)
            raise
        await self._give_back(mine)

    async def _take_places(self, username: str, address: str) -> Attempt:
        whose = self._places.whose(username, address)
        for pause in (0.0, *_PAUSES):
            if pause:
                await asyncio.sleep(pause)
            async with self._database.statement() as connection:
                taken = await self._places.take(connection, username, address)
            mine = Attempt(whose=whose, identity=taken.identity)
            if taken.by_name:
                return mine
            if taken.by_network:
                async with self._database.statement() as connection:
                    await give_back_some(connection, whose, taken)
            if left := await self._wait_left(mine, taken):
                break
        await self._record_throttled(mine, "too_many_passwords" if taken.by_network else "too_many_from_address")
        raise TooManyRequests(retry_after=left or 1)

    async def _wait_left(self, mine: Attempt, taken: Taken) -> float:
        """Seconds; 0 when all places are taken by attempts whose outcome is not known yet."""
        async with self._database.statement() as connection:
            return await self._places.wait_left(connection, mine.whose, taken)

    async def _record_throttled(self, mine: Attempt, reason: Reason) -> None:
        account = mine.identity.id if mine.identity is not None else None
        async with self._database.statement() as connection:
            await trail.record(connection, "login", "throttled", reason, account=account)

    async def _count(self, mine: Attempt, account: UUID | None) -> None:
        event = trail.event("login", "refused", "wrong_credentials", account=account)
        async with self._database.statement() as connection:
            limit_reached = await self._places.count(connection, mine.whose, told(connection, event))
        if limit_reached and account is not None:
            self._notices.tell_soon(account, "wrong_passwords")

    async def _give_back(self, mine: Attempt) -> None:
        if not mine.given_back:
            async with self._database.statement() as connection:
                await give_back(connection, mine.whose, success=mine.right)
