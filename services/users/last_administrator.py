"""An administrator is always left: the last active one can be neither demoted nor deactivated nor deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.problems import LastAdministrator
from services.users.tables import accounts

# The number of our advisory lock. Any number does that nothing else in this database uses.
_LOCK: Final = 0x4C32_4641


async def keep_one(connection: AsyncConnection, account: UUID) -> None:
    """Before `account` stops being an active administrator: raises `LastAdministrator` if there is no other.

    Two who demote themselves at once hold different rows, so they wait for each other here. Nobody who holds this
    lock waits for a row, so nobody deadlocks.
    """
    await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    # A statement of its own: it sees what was committed while this one waited.
    others = select(func.count()).where(accounts.c.is_admin, accounts.c.is_active, accounts.c.id != account)
    if not (await connection.execute(others)).scalar_one():
        raise LastAdministrator


def is_lost(row: Row[Any], changes: Mapping[str, Any]) -> bool:
    """Whether these changes make an active administrator into something else."""
    after = {"is_admin": row.is_admin, "is_active": row.is_active, **changes}
    was = bool(row.is_admin and row.is_active)
    return was and not (after["is_admin"] and after["is_active"])
