"""Accounts as administrators and operators name them: also those that may not log in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.tables import identities
from shared.names import canonical
from shared.web.problems import ItemNotFound, Problem


class NoSuchAccount(Problem):
    status = 404
    code = "no_such_account"
    detail = "No account has this username"


async def of_id(connection: AsyncConnection, account: UUID, *, lock: bool = False) -> Row[*tuple[Any, ...]]:
    """`id, username_key, is_2fa`. Raises `ItemNotFound` if auth does not know the account, or it is deleted."""
    query = _ACCOUNTS.where(identities.c.id == account)
    found = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if found is None:
        raise ItemNotFound
    return found


async def of_name(connection: AsyncConnection, username: str) -> Sequence[Row[*tuple[Any, ...]]]:
    """The same; two accounts have the name until a rename or deletion arrives. Raises `NoSuchAccount`."""
    query = _ACCOUNTS.where(identities.c.username_key == canonical(username)).order_by(identities.c.id)
    found = (await connection.execute(query)).all()
    if not found:
        raise NoSuchAccount
    return found


_ACCOUNTS = select(identities.c.id, identities.c.username_key, identities.c.is_2fa).where(~identities.c.deleted)
