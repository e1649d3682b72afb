"""S44: a restored backup of users lets nobody in whom the other service has locked out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Row

from services.users import accounts, administration
from shared.messaging.memory import MemoryBus
from shared.messaging.topology import NOTICES
from tests.auth_steps import Accounts, pair
from tests.builders import OTHER_PASSWORD, account_changed, password_hash, registered
from tests.composed import USERS, AuthApp, Keys, UsersApp, bearer
from tests.polling import eventually
from tests.recording import Recorder
from tests.security.somebody import password_accepted
from tests.servers.databases import Databases, connected

_STATE = ("accounts", "tombstones", "incarnation")


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    bus = MemoryBus()
    await bus.consume(NOTICES.queue, Recorder(), concurrency=1)
    yield bus
    await bus.close()


class Backup:
    """Of the users database: what it held when it was taken, brought back over whatever it holds."""

    def __init__(self, admin: asyncpg.Connection, users: UsersApp) -> None:
        self._admin = admin
        self._users = users

    async def all_told(self) -> None:
        async def empty() -> bool:
            return not await self._admin.fetchval("SELECT count(*) FROM users.outbox")

        await eventually(empty)

    async def heard(self, account: Row[Any]) -> None:
        """Auth is as far as users: two events of one account may be applied in either order."""
        same = "SELECT a.version = b.version FROM auth.identities a JOIN users.accounts b USING (id) WHERE id = $1"

        async def is_heard() -> bool:
            return bool(await self._admin.fetchval(same, account.id))

        await eventually(is_heard)

    async def take(self) -> None:
        await self.all_told()
        for table in _STATE:
            await self._admin.execute(f"CREATE TABLE public.{table} AS SELECT * FROM users.{table}")

    async def restore(self) -> None:
        await self.all_told()
        for table in _STATE:
            await self._admin.execute(f"DELETE FROM users.{table}")
            await self._admin.execute(f"INSERT INTO users.{table} SELECT * FROM public.{table}")

    async def republish(self, *, force: bool) -> None:
        parts = self._users.parts
        async for _ in administration.republish(parts.database.transaction, parts.sealer, force=force):
            pass
        await self.all_told()


@pytest.fixture
async def backup(databases: Databases, users_app: UsersApp, auth_app: AuthApp) -> AsyncIterator[Backup]:
    async with connected(databases.admin_url) as admin:
        yield Backup(admin, users_app)


@asynccontextmanager
async def locked(users: UsersApp, account: Row[Any]) -> AsyncIterator[tuple[Any, Row[Any]]]:
    async with users.parts.database.transaction() as connection:
        yield connection, (await accounts.lock(connection, account.id))[account.id]


async def change(users: UsersApp, account: Row[Any], **changes: Any) -> None:
    async with locked(users, account) as (connection, row):
        await accounts.change(connection, users.parts.sealer, row, changes, by_session=None)


async def test_after_a_restore_what_users_decides_counts_again_once_it_was_republished_with_force(
    auth_app: AuthApp, users_app: UsersApp, backup: Backup
) -> None:
    account = await registered(users_app.parts)
    await backup.take()
    for number in range(3):  # versions that the backup has not seen
        await change(users_app, account, name=f"Dave {number}")
    await backup.restore()
    await change(users_app, account, is_active=False)
    await backup.republish(force=False)
    assert (await auth_app.log_in(account.username)).status_code == 200  # auth takes it for older than what it knows

    await backup.republish(force=True)

    assert (await auth_app.log_in(account.username)).status_code == 400


async def test_who_was_locked_out_after_the_backup_stays_so_and_who_registered_after_it_is_nobody(
    auth_app: AuthApp, users_app: UsersApp, backup: Backup
) -> None:
    kept, deactivated, deleted = [await registered(users_app.parts) for _ in range(3)]
    await backup.take()
    await change(users_app, deactivated, is_active=False)
    async with locked(users_app, deleted) as (connection, row):
        await accounts.remove(connection, row)
    new = await registered(users_app.parts)
    tokens = pair(await password_accepted(auth_app, new.username))
    await backup.restore()

    await backup.republish(force=True)

    statuses = [(await auth_app.log_in(each.username)).status_code for each in (kept, deactivated, deleted, new)]
    assert statuses == [200, 400, 400, 400]
    assert await auth_app.verify_token(tokens.access) == 401
    assert (await auth_app.refresh(tokens.refresh)).status_code == 401
    await change(users_app, deactivated, name="Somebody Else")  # says nothing of that
    assert (await auth_app.log_in(deactivated.username)).status_code == 400
    # Users can still say so: it is now a decision of after the restore.
    await change(users_app, deactivated, is_active=False)
    await backup.heard(deactivated)
    await change(users_app, deactivated, is_active=True)
    await password_accepted(auth_app, deactivated.username)


async def test_no_session_comes_back_to_life_whose_end_the_backup_has_forgotten(
    auth_app: AuthApp, users_app: UsersApp, backup: Backup
) -> None:
    account = await registered(users_app.parts)
    before = pair(await password_accepted(auth_app, account.username))
    await backup.take()
    await change(users_app, account, password_hash=password_hash(OTHER_PASSWORD))
    after = pair(await password_accepted(auth_app, account.username, OTHER_PASSWORD))
    assert await auth_app.verify_token(before.access) == 401
    await backup.restore()

    await backup.republish(force=True)

    for tokens in (before, after):
        assert await auth_app.verify_token(tokens.access) == 401
        assert (await auth_app.refresh(tokens.refresh)).status_code == 401
        assert (await users_app.http.get(f"{USERS}/me", headers=bearer(tokens.access))).status_code == 401
    pair(await auth_app.log_in(account.username))


async def test_what_comes_late_from_before_the_restore_changes_nothing(
    auth_app: AuthApp, users_app: UsersApp, backup: Backup, bus: MemoryBus, keys: Keys
) -> None:
    account = await registered(users_app.parts)
    await backup.take()
    await backup.restore()
    await backup.republish(force=True)
    late = Accounts(bus, keys.account_sealer)

    known: dict[str, Any] = {"account_id": account.id, "username": account.username, "email": account.email}
    await late.tell(account_changed(keys.account_sealer, **known, version=1000, is_active=False))
    unknown = await late.new(version=1000)

    pair(await auth_app.log_in(account.username))
    assert (await auth_app.log_in(unknown.username)).status_code == 400


async def test_every_restore_has_a_higher_incarnation_than_all_before_it(
    users_app: UsersApp, backup: Backup, databases: Databases, bus: MemoryBus
) -> None:
    """Also that of a backup which knows of none of them."""
    await registered(users_app.parts)
    await backup.take()
    async with connected(databases.auth_url) as auth:
        seen = [await auth.fetchval("SELECT max(incarnation) FROM identities")]
        for restored in (False, False, True):
            if restored:
                await backup.restore()
            await backup.republish(force=True)
            seen.append(await auth.fetchval("SELECT max(incarnation) FROM identities"))

    assert seen == sorted(set(seen))


async def test_a_change_under_way_while_a_restore_is_made_known_is_not_lost(
    auth_app: AuthApp, users_app: UsersApp, backup: Backup, databases: Databases
) -> None:
    account = await registered(users_app.parts)
    await backup.all_told()
    async with connected(databases.admin_url) as admin:
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with locked(users_app, account) as (connection, row):
            await accounts.change(connection, users_app.parts.sealer, row, {"is_active": False}, by_session=None)
            made_known = asyncio.create_task(backup.republish(force=True))
            await eventually(lambda: admin.fetchval(waits))
    await made_known

    assert (await auth_app.log_in(account.username)).status_code == 400
