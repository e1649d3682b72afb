"""`login2fa restored`, as auth's clients see it: what the backup holds lets nobody in (docs/backup.md)."""

from __future__ import annotations

import pytest

from services.restored import put_right
from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts, Steps, pair
from tests.composed import Keys
from tests.database_clock import DatabaseClock
from tests.factor_steps import STEP, FactorSteps
from tests.servers.databases import Databases, connected

_WAITING = "INSERT INTO {}.outbox (event_id, type, body, correlation_id) VALUES (gen_random_uuid(), $1, '{{}}', '-')"


class Restored:
    def __init__(self, databases: Databases, keys: Keys, accounts: Accounts) -> None:
        self._databases = databases
        self._keys = keys
        self._accounts = accounts

    async def put_right(self) -> None:
        async for _ in put_right(self._databases.migrator_url, self._keys.account_sealer, []):
            pass

    async def publish_anew(self, account: AccountChanged) -> None:
        """As users does it for each of its accounts."""
        async with connected(self._databases.admin_url) as admin:
            incarnation = await admin.fetchval("SELECT incarnation FROM auth.in_step")
        await self._accounts.change(account, incarnation=incarnation)


@pytest.fixture
def restored(databases: Databases, keys: Keys, accounts: Accounts) -> Restored:
    return Restored(databases, keys, accounts)


async def test_nothing_is_left_of_a_login_that_had_begun(
    restored: Restored, steps: Steps, accounts: Accounts, databases: Databases
) -> None:
    await steps.begin(await accounts.new(is_2fa=True))

    await restored.put_right()

    async with connected(databases.admin_url) as admin:
        assert await admin.fetchval("SELECT count(*) FROM auth.challenges") == 0


async def test_a_code_of_an_app_may_have_been_used_after_the_backup_and_one_that_comes_later_not(
    clock: DatabaseClock, factors: FactorSteps, restored: Restored, accounts: Accounts
) -> None:
    """The role that migrates has the real clock, at which the other one was stopped some seconds ago."""
    account = await accounts.new()
    app = await factors.app(account)

    await restored.put_right()
    await restored.publish_anew(account)

    temporary = await factors.temporary(account)
    for later in (0, 1):
        assert (await factors.post("verify-totp", temporary, otp=await app.code(later))).status_code == 400
    await clock.forward(4 * STEP)
    pair(await factors.post("verify-totp", temporary, otp=await app.code()))


async def test_no_code_that_waits_in_an_outbox_is_mailed(restored: Restored, databases: Databases) -> None:
    codes = (("auth", "auth.otp_requested.v1"), ("users", "users.code_requested.v1"))
    others = (("auth", "auth.notice_requested.v1"), ("users", "users.notice_requested.v1"))
    async with connected(databases.admin_url) as admin:
        for schema, event in codes + others:
            await admin.execute(_WAITING.format(schema), event)

        await restored.put_right()

        for schema, other in others:
            waiting = await admin.fetch(f"SELECT type FROM {schema}.outbox WHERE body = '{{}}'")
            assert [row["type"] for row in waiting] == [other]
