"""More than it can do, or a database that is away: a refusal that says when to come again, and never a 500."""

from __future__ import annotations

import asyncio
import math
import threading

import asyncpg
import httpx
import pytest

from services.auth.accounts.read_model import account_changed_handler
from services.auth.factors.enrolled import follow
from shared.database.pool import Database
from shared.messaging.bus import Retry
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, pair
from tests.builders import account_changed, delivery
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.polling import eventually
from tests.servers.databases import Databases, connected
from tests.servers.ports import free_ports

pytestmark = pytest.mark.usefixtures("strong_hashes")


def assert_unavailable(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), answer.text
    assert answer.json()["code"] == "temporarily_unavailable"
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_full_hash_queue_answers_503_and_takes_logins_again_once_it_has_drained(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, hash_max_wait=0.5), bus) as auth:
        account = await accounts.new()
        passwords = auth.parts.passwords
        fits = math.floor(passwords._max_wait * passwords._threads / passwords._duration)
        gate = threading.Event()
        jobs = [asyncio.create_task(passwords._run(gate.wait)) for _ in range(fits)]
        await eventually(lambda: passwords._pool.waiting == fits)

        try:
            async with asyncio.timeout(10):
                refused = await auth.log_in(account.username)
        finally:
            gate.set()
        await asyncio.gather(*jobs)
        passwords._duration = passwords._max_wait / 10  # what waited for the gate was no hash

        assert_unavailable(refused)
        assert refused.json()["error"] == "temporarily_unavailable"
        pair(await auth.log_in(account.username))


async def test_a_refused_login_is_not_counted_as_a_wrong_password(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts, sql: asyncpg.Connection
) -> None:
    async with running_auth(auth_settings(databases, keys, hash_max_wait=1e-9), bus) as auth:
        account = await accounts.new()

        assert_unavailable(await auth.log_in(account.username))

        assert await sql.fetchval("SELECT count(*) FROM login_failures") == 0


async def ask_everything(auth: AuthApp, refresh: str, access: str) -> list[httpx.Response]:
    return [
        await auth.log_in("anybody"),
        await auth.refresh(refresh),
        await auth.http.post(f"{AUTH}/verify-token", headers=bearer(access)),
        await auth.http.post(f"{AUTH}/logout", headers=bearer(access)),
    ]


async def test_a_database_that_takes_no_connection_is_answered_503_and_used_again_when_it_is_back(
    auth_app: AuthApp, accounts: Accounts, databases: Databases
) -> None:
    account = await accounts.new()
    tokens = pair(await auth_app.log_in(account.username))
    async with connected(databases.admin_url) as admin:
        await admin.execute(f"ALTER DATABASE {databases.name} CONNECTION LIMIT 0")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'auth' AND datname = $1",
            databases.name,
        )

        answers = await ask_everything(auth_app, tokens.refresh, tokens.access)
        ready = await auth_app.checks["auth-database"]()
        await admin.execute(f"ALTER DATABASE {databases.name} CONNECTION LIMIT -1")

    for answer in answers:
        assert_unavailable(answer)
    assert not ready
    assert await auth_app.verify_token(tokens.access) == 200
    pair(await auth_app.refresh(tokens.refresh))


async def test_connections_that_the_server_cut_are_replaced_without_a_failure(
    auth_app: AuthApp, accounts: Accounts, databases: Databases
) -> None:
    tokens = pair(await auth_app.log_in((await accounts.new()).username))
    async with connected(databases.admin_url) as admin:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'auth' AND datname = $1",
            databases.name,
        )

    assert [await auth_app.verify_token(tokens.access) for _ in range(3)] == [200] * 3


async def test_a_database_that_is_not_there_is_answered_503(databases: Databases, keys: Keys, bus: MemoryBus) -> None:
    nowhere = f"postgresql+asyncpg://auth:x@127.0.0.1:{free_ports(1)[0]}/login2fa"
    async with running_auth(auth_settings(databases, keys, auth_database_url=nowhere), bus) as auth:
        assert_unavailable(await auth.log_in("anybody"))
        assert not await auth.checks["auth-database"]()


async def test_a_read_only_database_is_answered_503(
    auth_app: AuthApp, accounts: Accounts, databases: Databases
) -> None:
    account = await accounts.new()
    async with connected(databases.admin_url) as admin:
        await admin.execute(f"ALTER DATABASE {databases.name} SET default_transaction_read_only = on")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'auth' AND datname = $1",
            databases.name,
        )

    assert_unavailable(await auth_app.log_in(account.username))


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER DATABASE {database} CONNECTION LIMIT 0",
        "ALTER TABLE auth.identities RENAME TO later",
        "ALTER TABLE auth.identities RENAME COLUMN email TO later",
        "REVOKE INSERT ON auth.identities FROM auth",
        "DROP SCHEMA auth CASCADE",
    ],
)
async def test_an_event_that_the_database_is_not_ready_for_is_put_off_and_that_is_no_attempt(
    databases: Databases, keys: Keys, damage: str
) -> None:
    database = Database(databases.auth_url, pool_size=2)
    event = account_changed(keys.account_sealer)
    async with connected(databases.admin_url) as admin:
        await admin.execute(damage.format(database=databases.name))

        outcome = await account_changed_handler(database, keys.account_sealer, follow)(delivery(event))

        await database.close()
    assert outcome == Retry("database unavailable", tried=False)
