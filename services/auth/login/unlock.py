"""Unlocks an account: deletes the failures counted for it and its name."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.administered import of_id, of_name
from services.auth.login.attempts import name_hash
from services.auth.tables import code_failures, login_failures, name_failures, trail
from shared.database.pool import Database
from shared.tokens.access import AccessToken


async def unlock(database: Database, account: UUID, administrator: AccessToken) -> None:
    """Raises `ItemNotFound`."""
    async with database.transaction() as connection:
        found = await of_id(connection, account)
        await _forget_failures(connection, account, found.username_key, administrator)


async def unlock_name(database_url: str, username: str) -> None:
    """For an operator. Raises `NoSuchAccount`."""
    database = Database(database_url, pool_size=1)
    try:
        async with database.transaction() as connection:
            for found in await of_name(connection, username):
                await _forget_failures(connection, found.id, found.username_key, None)
    finally:
        await database.close()


async def _forget_failures(
    connection: AsyncConnection, account: UUID, username: str, administrator: AccessToken | None
) -> None:
    await connection.execute(delete(code_failures).where(code_failures.c.account_id == account))
    for table in (login_failures, name_failures):
        await connection.execute(delete(table).where(table.c.name_hash == name_hash(username)))
    await trail.record(
        connection,
        "account_unlocked",
        reason="administrator" if administrator else "operator",
        account=account,
        actor=administrator.account if administrator else None,
        session=administrator.session if administrator else None,
    )
