"""Account reads, with audit records of those by administrators."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.users import accounts, audit
from services.users.audit import Author
from services.users.callers import Caller, Users
from services.users.problems import CursorNotValid
from shared.web.problems import ItemNotFound


async def page(
    users: Users, known: Caller, *, account: UUID | None, filters: Mapping[str, Any], cursor: str | None, limit: int
) -> tuple[Sequence[Row[Any]], str | None]:
    """Returns rows and the cursor of the next page, if any. Raises `NotPermitted`, `CursorNotValid`."""
    own = known.token.account
    async with audit.refusals(users.database, "accounts_read", account=account, actor=own):
        known.require_admin()
    after = _decoded(cursor) if cursor is not None else None
    async with users.database.transaction() as connection:
        rows = await accounts.page(connection, filters=filters, after=after, limit=limit + 1)
        author = Author(account=own, session=known.token.session)
        await author.record(connection, "accounts_read", account=account)
    return rows[:limit], _encoded(rows[limit - 1].id) if len(rows) > limit else None


async def one(users: Users, known: Caller, account: UUID) -> Row[Any]:
    """The caller's own, or any for an administrator. Raises `NotPermitted`, `ItemNotFound`."""
    own = known.token.account
    async with audit.refusals(users.database, "accounts_read", account=account, actor=own):
        known.require_admin_of(account)
    if account == own:
        return known.account
    async with users.database.transaction() as connection:
        row = await accounts.find(connection, account)
        author = Author(account=own, session=known.token.session)
        await author.record(connection, "accounts_read", account=account)
    if row is None:
        raise ItemNotFound
    return row


def _encoded(last: UUID) -> str:
    """Opaque to clients, so that the sort key may change."""
    return base64.urlsafe_b64encode(last.bytes).rstrip(b"=").decode()


def _decoded(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error):
        raise CursorNotValid from None
