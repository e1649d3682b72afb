"""The accounts that a newcomer finds: `login2fa demo-accounts`, and `make up`."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from deploy.demo_accounts import DEMO_ACCOUNTS, create_demo_accounts
from services.users.settings import UsersSettings
from shared.passwords import Passwords
from shared.settings import load
from tests import edge_keys
from tests.servers.databases import Databases, connected

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture
def settings(databases: Databases) -> UsersSettings:
    return load(
        UsersSettings,
        **edge_keys.settings_of("users"),
        rabbitmq_url="amqp://not-used",
        users_database_url=databases.users_url,
        account_sealing_keys=Fernet.generate_key().decode(),
    )


async def test_they_are_there_once_however_often_it_runs(databases: Databases, settings: UsersSettings) -> None:
    for _ in range(2):
        await create_demo_accounts(settings)

    async with connected(databases.users_url) as users:
        rows = await users.fetch("SELECT email, is_admin, is_2fa FROM accounts ORDER BY email")
        assert await users.fetchval("SELECT count(*) FROM outbox WHERE type LIKE 'users.%'") == len(DEMO_ACCOUNTS)
    assert [tuple(row) for row in rows] == [("dv.gahan@test.com", False, False), ("rs.smith@test.com", True, True)]


async def test_one_that_was_changed_stays_so(databases: Databases, settings: UsersSettings) -> None:
    await create_demo_accounts(settings)
    async with connected(databases.users_url) as users:
        await users.execute("UPDATE accounts SET password_hash = 'theirs', is_admin = false")

        await create_demo_accounts(settings)

        assert (
            await users.fetchval("SELECT count(*) FROM accounts WHERE password_hash = 'theirs' AND NOT is_admin") == 2
        )


async def test_they_log_in_with_their_passwords(databases: Databases, settings: UsersSettings) -> None:
    await create_demo_accounts(settings)
    passwords = Passwords.of(settings)
    async with connected(databases.users_url) as users:
        for account in DEMO_ACCOUNTS:
            stored = await users.fetchval("SELECT password_hash FROM accounts WHERE email = $1", account.email)
            assert await passwords.verify(account.password, stored)
    passwords.close()


def test_the_readme_tells_their_names_and_passwords() -> None:
    readme = README.read_text()
    for account in DEMO_ACCOUNTS:
        kind = "administrator" if account.is_admin else "customer"
        cells = [f"{account.name} {account.lastname}, {kind}", f"`{account.email}`", f"`{account.password}`"]
        assert f"| {' | '.join(cells)} | {'on' if account.is_2fa else 'off'} |" in readme
