"""The accounts that a newcomer finds, in `make up` and in the containers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass

from services.users.administration import Administration
from services.users.app import offline_parts
from services.users.problems import UserAlreadyExists
from services.users.settings import UsersSettings


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
