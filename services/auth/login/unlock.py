"""Unlocks an account: deletes the failures counted for it and its name."""

from __future__ import annotations

from sqlalchemy import delete, select

from services.auth.login.attempts import name_hash
from services.auth.tables import code_failures, identities, login_failures, name_failures, trail
from shared.database.pool import Database
from shared.names import canonical
from shared.web.problems import Problem


class NoSuchAccount(Problem):
    status = 404
    code = "no_such_account"
    detail = "No account has this username"


async def unlock(database_url: str, username: str) -> None:
    """Raises `NoSuchAccount`."""
    database = Database(database_url, pool_size=1)
    of_name = select(identities.c.id).where(identities.c.username_key == canonical(username), ~identities.c.deleted)
    try:
        async with database.transaction() as connection:
            accounts = (await connection.execute(of_name)).scalars().all()
            if not accounts:
                raise NoSuchAccount
            await connection.execute(delete(code_failures).where(code_failures.c.account_id.in_(accounts)))
            for table in (login_failures, name_failures):
                await connection.execute(delete(table).where(table.c.name_hash == name_hash(username)))
            for account in accounts:
                await trail.record(connection, "account_unlocked", reason="operator", account=account)
    finally:
        await database.close()
