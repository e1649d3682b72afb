"""Keeps an administrator: the last active one can not be demoted, deactivated or deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.problems import LastAdministrator
from services.users.tables import accounts

# Advisory lock number; any that nothing else in this database uses.
_LOCK: Final = 0x4C32_4641


async def keep_one(connection: AsyncConnection, account: UUID) -> None:
    """Raises `LastAdministrator` if no administrator but `account` is active. The lock orders two who demote themselves
    at once; its holder waits for no row, so there is no deadlock.
    """
    await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    # A separate statement: it sees what was committed during the wait.
    others = select(func.count()).where(accounts.c.is_admin, accounts.c.is_active, accounts.c.id != account)
    if not (await connection.execute(others)).scalar_one():
        raise LastAdministrator


def is_lost(row: Row[Any], changes: Mapping[str, Any]) -> bool:
    after = {"is_admin": row.is_admin, "is_active": row.is_active, **changes}
    was = bool(row.is_admin and row.is_active)
    return was and not (after["is_admin"] and after["is_active"])
