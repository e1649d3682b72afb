"""Writes to accounts. All checks run again under the row locks, as the request may have waited (ASVS 15.4.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts, audit
from services.users.audit import OPERATOR, Author
from services.users.callers import Caller, Users
from services.users.ended_sessions import is_over
from services.users.known_accounts import is_of_session
from services.users.notices import request_notice, tell_owner
from services.users.problems import VersionDiffers
from shared.database.pool import Database
from shared.sealing import Sealer
from shared.web import entity_tags
from shared.web.bearer import TokenNotValid
from shared.web.problems import ItemNotFound

# A permission check that raises a `Problem`; it runs twice, with the caller as read and as locked.
Rule = Callable[[Caller], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    connection: AsyncConnection
    sealer: Sealer
    row: Row[Any]
    author: Author
    also_unproved: bool  # see `request_notice`
    force: bool = False

    async def change(self, changes: Mapping[str, Any]) -> Row[Any]:
        """Also writes the audit record and the mail to the owner. Raises what `accounts.change` raises."""
        own = self.author.account == self.row.id
        changed = await accounts.change(
            self.connection,
            self.sealer,
            self.row,
            changes,
            by_session=self.author.session if own else None,  # only the owner's session is kept
            force=self.force,
        )
        await audit.record_change(self.connection, self.row, changed, self.author)
        await tell_owner(self.connection, self.row, changed, also_unproved=self.also_unproved)
        return changed

    async def remove(self) -> None:
        deleted_at = await accounts.remove(self.connection, self.row, force=self.force)
        await self.author.record(self.connection, "account_deleted", account=self.row.id)
        await request_notice(self.connection, self.row, "account_deleted", deleted_at, also_unproved=self.also_unproved)


@asynccontextmanager
async def writing(
    users: Users, known: Caller, target: UUID, *, rule: Rule, if_match: str | None = None
) -> AsyncIterator[Write]:
    """Raises `TokenNotValid`, what `rule` raises, `ItemNotFound`, `VersionDiffers`."""
    rule(known)  # before the transaction: a caller without the right locks nothing
    async with users.database.transaction() as connection:
        rows = await accounts.lock(connection, known.token.account, target)
        rule(await _still_known(connection, known, rows.get(known.token.account)))
        row = rows.get(target)
        if row is None:
            raise ItemNotFound
        # RFC 9110 section 13.1.1; also accepts the forms that gateways make of our tags.
        if if_match is not None and not entity_tags.names(if_match, accounts.etag(row)):
            raise VersionDiffers
        author = Author(account=known.token.account, session=known.token.session)
        yield Write(
            connection=connection, sealer=users.sealer, row=row, author=author, also_unproved=users.tells_unproved
        )


async def _still_known(connection: AsyncConnection, known: Caller, row: Row[Any] | None) -> Caller:
    if row is None or not row.is_active or not is_of_session(row, known.token):
        raise TokenNotValid
    # A separate statement after the lock: it sees what was committed during the wait.
    if await is_over(connection, known.token.session):
        raise TokenNotValid
    return replace(known, account=row)


@asynccontextmanager
async def operating(
    database: Database, sealer: Sealer, account: UUID, *, also_unproved: bool, force: bool = False
) -> AsyncIterator[Write]:
    """Like `writing`, for an operator on the command line. Raises `ItemNotFound`."""
    async with database.transaction() as connection:
        row = (await accounts.lock(connection, account)).get(account)
        if row is None:
            raise ItemNotFound
        yield Write(
            connection=connection,
            sealer=sealer,
            row=row,
            author=OPERATOR,
            also_unproved=also_unproved,
            force=force,
        )
