"""Takes all factors from an account, because its owner has lost them or somebody else has them."""

from __future__ import annotations

from uuid import UUID

from services.auth.accounts.administered import NoSuchAccount, of_id
from services.auth.accounts.notices import Notices
from services.auth.accounts.read_model import find_by_username
from services.auth.factors.enrolled import Change, Enrolled, empty, lock_challenges
from services.auth.settings import AuthSettings
from shared.database.pool import Database
from shared.tokens.access import AccessToken


async def reset_factors(
    database: Database, enrolled: Enrolled, account: UUID, administrator: AccessToken | None
) -> bool:
    """Whether the account still has a second factor: codes by mail are a setting of users. All its sessions, devices
    and challenges end, also if it may not log in. `administrator`: None for an operator. Raises `ItemNotFound`.
    """
    change = Change(
        account=account,
        act="factors_reset",
        notice="factors_reset",
        reason="administrator" if administrator else "operator",
        actor=administrator.account if administrator else None,
    )
    async with database.transaction() as connection:
        # The locks of `Enrolled.lock`: a factor that is just being added does not outlive the reset.
        found = await of_id(connection, account, lock=True)
        await lock_challenges(connection, account)
        await empty(connection, account)
        await enrolled.changed(connection, change)
    return bool(found.is_2fa)


async def reset_factors_of_name(settings: AuthSettings, username: str) -> bool:
    """For an operator: of the account that this name logs in to. Raises `NoSuchAccount`."""
    database = Database(settings.auth_database_url.get_secret_value(), pool_size=1)
    enrolled = Enrolled.of(settings, Notices(settings, database))
    try:
        async with database.statement() as connection:
            identity = await find_by_username(connection, username)
        if identity is None:
            raise NoSuchAccount
        return await reset_factors(database, enrolled, identity.id, None)
    finally:
        await database.close()
