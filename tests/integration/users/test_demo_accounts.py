"""The accounts that a newcomer finds: `login2fa demo-accounts`, and `make up`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from deploy.demo_accounts import DEMO_ACCOUNTS, DemoAccountsLeft, create_demo_accounts, refuse_demo_accounts
from services.notifier.settings import NotifierSettings
from services.users.settings import UsersSettings
from shared.configuration.settings import SettingsInvalid, load
from shared.passwords.hashing import Passwords
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
        told = "SELECT count(*) FROM outbox WHERE type = 'users.account_changed.v1'"
        assert await users.fetchval(told) == len(DEMO_ACCOUNTS)
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


async def test_without_demo_an_administrator_with_a_known_password_is_a_reason_not_to_start(
    databases: Databases, settings: UsersSettings
) -> None:
    """A volume of the quick start, used again in production."""
    await refuse_demo_accounts(databases.users_url)
    await create_demo_accounts(settings)
    for address in ("rs.smith@test.com", "Boss@example.com"):
        async with connected(databases.users_url) as users:
            await users.execute("UPDATE accounts SET email = $1 WHERE is_admin", address)
        with pytest.raises(
            DemoAccountsLeft, match=f"{address} is an administrator here with a password that everybody"
        ):
            await refuse_demo_accounts(databases.users_url)

    async with connected(databases.users_url) as users:
        await users.execute("UPDATE accounts SET is_admin = false")
    await refuse_demo_accounts(databases.users_url)  # anybody can register that address: no stranger stops a deployment


@pytest.mark.parametrize(
    "given",
    [{"issuer": "https://login.example.com"}, {"issuer": "http://192.168.1.2:8201"}, {"require_tls": True}],
)
def test_demo_is_refused_where_others_could_log_in(given: dict[str, Any]) -> None:
    own: dict[str, Any] = {"rabbitmq_url": "amqp://127.0.0.1", **edge_keys.settings_of("users")}
    own["users_database_url"] = "postgresql+asyncpg://users:x@127.0.0.1/x"
    with pytest.raises(SettingsInvalid, match="DEMO is on: everybody knows the passwords"):
        load(UsersSettings, demo=True, account_sealing_keys=Fernet.generate_key().decode(), **own, **given)


@pytest.mark.parametrize("host", ["mail.example.com", "10.0.0.5", "mailhog.example.com", "fd00::5"])
def test_a_notifier_with_demo_accounts_sends_mail_nowhere_but_here(host: str) -> None:
    key = Fernet.generate_key().decode()
    own: dict[str, Any] = {"rabbitmq_url": "amqp://127.0.0.1", "otp_sealing_keys": key}
    own |= edge_keys.settings_of("notifier")
    with pytest.raises(SettingsInvalid, match="DEMO is on, and SMTP_HOST is neither this machine nor a container"):
        load(NotifierSettings, demo=True, smtp_host=host, **own)
    load(NotifierSettings, demo=False, smtp_host=host, **own)
    load(NotifierSettings, demo=True, smtp_host=host, notifier_channel="file", otp_log_file="/dev/null", **own)
    for here in ("127.0.0.1", "::1", "localhost", "mailhog"):
        load(NotifierSettings, demo=True, smtp_host=here, **own)


def test_the_readme_tells_their_names_and_passwords() -> None:
    readme = README.read_text()
    for account in DEMO_ACCOUNTS:
        kind = "administrator" if account.is_admin else "customer"
        cells = [f"{account.name} {account.lastname}, {kind}", f"`{account.email}`", f"`{account.password}`"]
        assert f"| {' | '.join(cells)} | {'on' if account.is_2fa else 'off'} |" in readme
