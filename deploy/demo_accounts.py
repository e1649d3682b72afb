"""The accounts that a newcomer finds, in `make up` and in the containers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass

from sqlalchemy import select

from services.users.administration import Administration
from services.users.app import offline_parts
from services.users.problems import UserAlreadyExists
from services.users.settings import UsersSettings
from services.users.tables import accounts
from shared.database import Database
from shared.passwords import Passwords


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
    """Those that are there stay as they are."""
    async with offline_parts(settings) as (database, passwords, sealer):
        administration = Administration(database, passwords, sealer)
        for account in DEMO_ACCOUNTS:
            with suppress(UserAlreadyExists):
                await administration.create(**asdict(account))


class DemoAccountsLeft(Exception):
    """The text says what to do about them."""


async def refuse_demo_accounts(url: str) -> None:
    """Raises `DemoAccountsLeft` where an administrator is still let in by a demo account's password.

    Anybody can register a demo account's address, but nobody without rights makes himself its administrator: no
    stranger stops a deployment in this way. `url` is that of the role users.
    """
    database, passwords = Database(url, pool_size=2), Passwords()
    try:
        for account in DEMO_ACCOUNTS:
            known = select(accounts.c.password_hash).where(accounts.c.email == account.email, accounts.c.is_admin)
            async with database.statement() as connection:
                stored = await connection.scalar(known)
            if stored is not None and await passwords.verify(account.password, stored):
                raise DemoAccountsLeft(
                    f"DEMO is off, but {account.email} is an administrator here with the password that everybody knows:"
                    " this database was used with DEMO=1. Delete that account, or begin with an empty database."
                )
    finally:
        passwords.close()
        await database.close()
