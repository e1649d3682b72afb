"""S61: a login replaces an imported hash by Argon2id, and nothing else changes; who was imported is not told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import bcrypt
import pytest
from sqlalchemy import Row

from shared.messaging.memory import MemoryBus
from shared.messaging.password_events import PasswordRehashed, digest_of
from shared.messaging.topology import NOTICES
from tests.auth_steps import Accounts, pair
from tests.builders import OTHER_PASSWORD, PASSWORD, account_changed, message, registered
from tests.composed import AUTH, USERS, AuthApp, Keys, UsersApp, auth_settings, bearer, running_auth
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts
from tests.polling import eventually
from tests.recording import Recorder
from tests.security.timing import figures, sample, told_apart
from tests.servers.databases import Databases, connected

__all__ = ("accounts",)

NAMES = 50  # four samples for a name stay below every limit of the throttle
OLD = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()

STORED = "SELECT password_hash FROM users.accounts WHERE id = $1"
SAME = "SELECT a.password_hash = b.password_hash FROM auth.identities a JOIN users.accounts b USING (id) WHERE id = $1"
EPOCH = "SELECT session_epoch FROM users.accounts WHERE id = $1"


@pytest.fixture
async def notices(bus: MemoryBus) -> Recorder:
    recorder = Recorder()
    await bus.consume(NOTICES.queue, recorder, concurrency=1)
    return recorder


@pytest.fixture
async def sql(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    async with connected(databases.admin_url) as admin:
        yield admin


async def until_replaced(sql: asyncpg.Connection, account: Row[Any]) -> None:
    async def replaced() -> bool:
        own = str(await sql.fetchval(STORED, account.id)).startswith("$argon2id$")
        return own and bool(await sql.fetchval(SAME, account.id))

    await eventually(replaced)


async def imported(users: UsersApp, auth: AuthApp, sql: asyncpg.Connection, **fields: Any) -> Row[Any]:
    account = await registered(users.parts, password_hash=OLD, **fields)
    known = "SELECT count(*) FROM auth.identities WHERE id = $1"
    await eventually(lambda: sql.fetchval(known, account.id))
    return account


async def test_the_first_login_replaces_the_hash_and_no_session_ends_and_nobody_is_told(
    users_app: UsersApp, auth_app: AuthApp, sql: asyncpg.Connection, notices: Recorder
) -> None:
    account = await imported(users_app, auth_app, sql)
    assert (await auth_app.log_in(account.username, OTHER_PASSWORD)).status_code == 400
    assert await sql.fetchval(STORED, account.id) == OLD

    tokens = pair(await auth_app.log_in(account.username))

    await until_replaced(sql, account)
    assert await sql.fetchval(EPOCH, account.id) == 0
    assert await auth_app.verify_token(tokens.access) == 200
    assert (await users_app.http.get(f"{USERS}/me", headers=bearer(tokens.access))).status_code == 200
    pair(await auth_app.refresh(tokens.refresh))
    pair(await auth_app.log_in(account.username))
    assert (await auth_app.log_in(account.username, OTHER_PASSWORD)).status_code == 400
    assert notices.deliveries == []


async def test_a_login_that_waits_for_its_second_factor_goes_on_when_the_hash_is_replaced(
    users_app: UsersApp, auth_app: AuthApp, sql: asyncpg.Connection, inbox: Inbox
) -> None:
    account = await imported(users_app, auth_app, sql, is_2fa=True)
    temporary = (await auth_app.log_in(account.username)).json()["temporary_token"]
    await until_replaced(sql, account)
    code = await inbox.code_for(account.email, 1)

    answer = await auth_app.http.post(f"{AUTH}/verify-otp", headers=bearer(temporary), json={"otp": code})

    pair(answer)


async def test_a_late_hash_does_not_bring_a_changed_password_back(
    users_app: UsersApp, auth_app: AuthApp, sql: asyncpg.Connection, bus: MemoryBus, keys: Keys
) -> None:
    account = await imported(users_app, auth_app, sql)
    changed = await sql.fetchval("UPDATE users.accounts SET password_hash = 'changed' RETURNING password_hash")
    now = await sql.fetchval("SELECT now()")
    late = PasswordRehashed(account_id=account.id, replaced=digest_of(OLD), occurred_at=now)
    await bus.publish(message(late.sealed("$argon2id$late", keys.account_sealer)))
    right = PasswordRehashed(account_id=account.id, replaced=digest_of("changed"), occurred_at=now)
    of_another = late.sealed("$argon2id$moved", keys.account_sealer).sealed_password_hash
    await bus.publish(message(right.model_copy(update={"sealed_password_hash": of_another})))

    assert await sql.fetchval(STORED, account.id) == changed
    await bus.publish(message(right.sealed("$argon2id$new", keys.account_sealer)))
    assert await sql.fetchval(STORED, account.id) == "$argon2id$new"


@pytest.mark.long
async def test_who_was_imported_can_not_be_told_from_nobody_by_the_time(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts
) -> None:
    """With the deadline that is the default, above the time of the hash."""
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    settings = auth_settings(databases, keys, login_failure_deadline=0.25, throttle_address_per_hour=10_000)
    async with running_auth(settings, bus) as auth:
        for number in range(NAMES):
            known = account_changed(accounts.sealer, username=f"known-{number:04}", email=f"{number}@example.org")
            sealed = accounts.sealer.seal(stored, known.hash_context)
            await accounts.tell(known.model_copy(update={"sealed_password_hash": sealed}))

        async def once(kind: str, number: int) -> None:
            name, address = f"{kind}-{number % NAMES:04}", f"203.0.113.{number % 250}"
            assert (await auth.log_in(name, OTHER_PASSWORD, address)).status_code == 400

        for seed in (1, 2):  # chance alone gives a difference once in a hundred
            samples = await sample(("known", "other"), 200, seed, once)
            print(figures(samples))
            if not told_apart(samples):
                return
    raise AssertionError(figures(samples))
