"""A right mailed login code proves the address to users: auth.address_proved.v1."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.messaging.address_events import AddressProved
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Steps, pair, wrong
from tests.composed import AuthApp
from tests.fakes import HeldBus
from tests.servers.databases import Databases, connected

PROVED = "SELECT body, xmin::text AS writer FROM outbox WHERE type = $1 ORDER BY id"

# A failure of the disk, say, when the session is written: after the code was compared and found right.
FULL = """
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'full' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON auth.sessions FOR EACH ROW EXECUTE FUNCTION public.refuse()
"""


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """Takes none of these events, so that each stays in the outbox to be looked at."""
    bus = HeldBus(AddressProved.type)
    yield bus
    await bus.close()


async def proved(sql: asyncpg.Connection) -> list[AddressProved]:
    return [AddressProved.model_validate_json(row["body"]) for row in await sql.fetch(PROVED, AddressProved.type)]


async def test_a_right_code_proves_the_address_that_it_was_mailed_to_in_the_transaction_that_uses_it(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection
) -> None:
    account = await accounts.new(is_2fa=True, email_verified=False)
    login = await steps.begin(account)

    pair(await auth_app.verify_otp(login.temporary, login.code))

    [event] = await proved(sql)
    used = await sql.fetchrow("SELECT used_at, xmin::text AS writer FROM challenges")
    assert used is not None
    assert (event.account_id, event.email) == (account.account_id, account.email)
    assert event.occurred_at <= used["used_at"]
    assert await sql.fetchval("SELECT xmin::text FROM outbox WHERE type = $1", AddressProved.type) == used["writer"]


async def test_each_login_says_so_until_users_knows_and_none_after_that(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection
) -> None:
    account = await accounts.new(is_2fa=True, email_verified=False)
    for known in (False, False, True):
        if known:
            account = await accounts.change(account, email_verified=True)
        login = await steps.begin(account)
        pair(await auth_app.verify_otp(login.temporary, login.code))

    assert [event.account_id for event in await proved(sql)] == [account.account_id] * 2


@pytest.mark.parametrize("otp", ["wrong", "used", "expired"])
async def test_a_code_that_is_not_right_proves_nothing(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection, otp: str
) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True, email_verified=False))
    if otp == "used":
        pair(await auth_app.verify_otp(login.temporary, login.code))
    elif otp == "expired":
        await sql.execute("UPDATE challenges SET expires_at = now()")
    before = await proved(sql)

    code = wrong(login.code) if otp == "wrong" else login.code
    assert (await auth_app.verify_otp(login.temporary, code)).status_code == 400

    assert await proved(sql) == before


async def test_a_login_without_a_code_proves_nothing(accounts: Accounts, steps: Steps, sql: asyncpg.Connection) -> None:
    await steps.log_in(await accounts.new(email_verified=False))

    assert await proved(sql) == []


async def test_if_the_code_is_not_used_after_all_it_has_proved_nothing_and_is_still_good(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection, databases: Databases
) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True, email_verified=False))
    async with connected(databases.admin_url) as admin:
        await admin.execute(FULL)
        assert (await auth_app.verify_otp(login.temporary, login.code)).status_code == 503
        assert await proved(sql) == []
        await admin.execute("DROP FUNCTION public.refuse CASCADE")

    pair(await auth_app.verify_otp(login.temporary, login.code))

    assert len(await proved(sql)) == 1
