"""The code itself: uniform, whole, in clear nowhere at rest; and the keys that guard it, which rotate."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from cryptography.fernet import Fernet

from shared.messaging.events import OtpRequested
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Steps, pair
from tests.builders import message
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.fakes import HeldBus
from tests.inbox import Inbox
from tests.servers.databases import Databases

OLD_PEPPER, NEW_PEPPER = "old" * 11, "new" * 11


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """Here the broker can be away for the codes, so that their events wait in the outbox."""
    bus = HeldBus()
    yield bus
    await bus.close()


async def test_no_table_and_no_outbox_row_holds_a_code_in_clear(
    auth_app: AuthApp, accounts: Accounts, keys: Keys, bus: HeldBus, sql: asyncpg.Connection
) -> None:
    bus.held.add(OtpRequested.type)
    account = await accounts.new(is_2fa=True)

    for _ in range(3):
        assert (await auth_app.log_in(account.username)).status_code == 200

    rows = await sql.fetch("SELECT body FROM outbox WHERE type = $1", OtpRequested.type)
    waiting = [OtpRequested.model_validate_json(row["body"]) for row in rows]
    codes = [keys.otp_sealer.open(event.sealed_code, event.code_context) for event in waiting]
    tables = [row["tablename"] for row in await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'auth'")]
    dump = "\n".join([row[0] for table in tables for row in await sql.fetch(f"SELECT t::text FROM {table} t")])
    assert len(codes) == 3
    assert all(event.sealed_code in dump and str(event.challenge_id) in dump for event in waiting)
    assert not [code for code in codes if f'"{code}"' in dump or f",{code}," in dump or f":{code}" in dump]
    assert not [code for code in codes if code.encode().hex() in dump]


async def test_a_code_made_under_the_old_pepper_is_good_while_the_old_pepper_is_listed(
    databases: Databases, keys: Keys, bus: MemoryBus, inbox: Inbox, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, otp_peppers=OLD_PEPPER), bus) as before:
        account = await accounts.new(is_2fa=True)
        login = await Steps(before, inbox).begin(account)

    async with running_auth(auth_settings(databases, keys, otp_peppers=f"{NEW_PEPPER},{OLD_PEPPER}"), bus) as during:
        pair(await during.verify_otp(login.temporary, login.code))
        later = await Steps(during, inbox).begin(account)

    async with running_auth(auth_settings(databases, keys, otp_peppers=NEW_PEPPER), bus) as after:
        pair(await after.verify_otp(later.temporary, later.code))


async def test_a_code_made_under_a_pepper_that_is_no_longer_listed_is_refused(
    databases: Databases, keys: Keys, bus: MemoryBus, inbox: Inbox, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, otp_peppers=OLD_PEPPER), bus) as before:
        login = await Steps(before, inbox).begin(await accounts.new(is_2fa=True))

    async with running_auth(auth_settings(databases, keys, otp_peppers=NEW_PEPPER), bus) as after:
        assert (await after.verify_otp(login.temporary, login.code)).status_code == 400


async def test_events_sealed_with_the_old_key_open_while_it_is_listed(
    databases: Databases, keys: Keys, bus: HeldBus, accounts: Accounts
) -> None:
    new = Fernet.generate_key().decode()

    async with running_auth(
        auth_settings(databases, keys, account_sealing_keys=f"{new},{keys.account_sealing}"), bus
    ) as during:
        account = await accounts.new()
        pair(await during.log_in(account.username))

    async with running_auth(auth_settings(databases, keys, account_sealing_keys=new), bus):
        await bus.publish(message(accounts.next_state(account)))

    assert [letter.reason for letter in bus.dead_letters] == ["Unsealable: InvalidToken"]
