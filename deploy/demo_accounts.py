"""The demo accounts of `make up` and of the containers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import product

from sqlalchemy import select

from services.users.administration import offline
from services.users.problems import UserAlreadyExists
from services.users.settings import UsersSettings
from services.users.tables import accounts
from shared.database.pool import Database
from shared.passwords.hashing import Passwords


@dataclass(frozen=True, slots=True)
class DemoAccount:
    email: str
    password: str
    name: str
    lastname: str
    is_2fa: bool
    is_admin: bool

    def __str__(self) -> str:
        kind = f"{'administrator' if self.is_admin else 'customer'}, 2FA {'on' if self.is_2fa else 'off'}"
        return f"{self.email}  {self.password}  ({kind})"


DEMO_ACCOUNTS = (
    DemoAccount("rs.smith@test.com", "testtest11&@admin", "Robert", "Smith", is_2fa=True, is_admin=True),
    DemoAccount("dv.gahan@test.com", "testtest11&@", "Dave", "Gahan", is_2fa=False, is_admin=False),
)


async def create_demo_accounts(settings: UsersSettings) -> None:
    """Leaves existing accounts unchanged."""
    async with offline(settings) as administration:
        for account in DEMO_ACCOUNTS:
            with suppress(UserAlreadyExists):
                await administration.create(**asdict(account))


class DemoAccountsLeft(Exception):
    """The text says what to do."""


async def refuse_demo_accounts(url: str) -> None:
    """Raises `DemoAccountsLeft` if an administrator has a demo account's password. `url` is for the role `users`."""
    database, passwords = Database(url, pool_size=2), Passwords()
    try:
        async with database.statement() as connection:
            administrators = await connection.execute(
                # Only administrators: else any user could choose such a password and stop a deployment.
                select(accounts.c.email, accounts.c.password_hash).where(accounts.c.is_admin)
            )
        for (email, stored), account in product(administrators.all(), DEMO_ACCOUNTS):
            if await passwords.verify(account.password, stored):
                raise DemoAccountsLeft(
                    f"DEMO is off, but {email} is an administrator here with a password that everybody knows: this"
                    " database was used with DEMO=1. Delete that account, or begin with an empty database."
                )
    finally:
        passwords.close()
        await database.close()
