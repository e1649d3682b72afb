"""What an operator does to accounts from the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.users import accounts
from services.users.accounts import NewAccount, refuse_weak, valid_email
from shared.database import Database
from shared.passwords import Passwords
from shared.sealing import Sealer

_PAGE = 500


async def create(
    database: Database,
    passwords: Passwords,
    sealer: Sealer,
    *,
    email: str,
    password: str,
    name: str,
    lastname: str,
    is_2fa: bool,
    is_admin: bool,
    username: str | None = None,
) -> None:
    """Raises `UserAlreadyExists`, `EmailNotValid`, `PasswordTooWeak`. The username is the address unless given."""
    email = valid_email(email)
    refuse_weak(password, own_names=[email, username or email, name, lastname], min_length=8)
    new = NewAccount(
        email=email,
        username=username or email,
        name=name,
        lastname=lastname,
        password_hash=await passwords.hash(password),
        is_2fa=is_2fa,
        is_admin=is_admin,
    )
    async with database.transaction() as connection:
        await accounts.create(connection, sealer, new)


async def republish(database: Database, sealer: Sealer) -> AsyncIterator[str]:
    """Write the state of every account to the outbox once more, page by page; yields the progress.

    Auth keeps what is as new as its own, so this rebuilds a lost read model and harms a good one nothing.
    """
    told, after = 0, None
    while True:
        async with database.transaction() as connection:
            rows = await accounts.page(connection, filters={}, after=after, limit=_PAGE)
            await accounts.tell(connection, sealer, rows)
        told += len(rows)
        if len(rows) < _PAGE:
            break
        after = rows[-1].id
        yield f"{told} accounts so far"
    async with database.transaction() as connection:
        deleted = await accounts.tell_tombstones(connection)
    yield f"{told} accounts and {deleted} deletions are on their way to auth"
