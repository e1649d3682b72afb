"""S24: the second use of a refresh token beyond the grace ends its family, access tokens included, everywhere."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, pair
from tests.composed import AUTH, USERS, AuthApp, Keys, UsersApp, auth_settings, bearer, running_auth
from tests.database_clock import DatabaseClock
from tests.integration.auth.conftest import accounts, clock, sql
from tests.polling import eventually
from tests.security.replica import replica
from tests.security.somebody import password_accepted, register
from tests.servers.databases import Databases

__all__ = ("accounts", "clock", "replica", "sql")

GRACE = 10

ASKED = (("POST", "verify-token"), ("GET", "forward"), ("GET", "sessions"))


@pytest.fixture
async def account(clock: DatabaseClock, auth_app: AuthApp, replica: AuthApp, accounts: Accounts) -> AccountChanged:
    """Two replicas serve it, and the database's clock stands still."""
    return await accounts.new()


@pytest.fixture
async def first(account: AccountChanged, auth_app: AuthApp) -> Pair:
    """The pair that a login gave."""
    return pair(await auth_app.log_in(account.username))


@pytest.fixture
def replicas(auth_app: AuthApp, replica: AuthApp) -> tuple[AuthApp, AuthApp]:
    return auth_app, replica


async def statuses(replicas: tuple[AuthApp, AuthApp], *family: Pair) -> set[int]:
    """Of all that asks for a living session, on both replicas."""
    answers = [
        await auth.http.request(method, f"{AUTH}/{path}", headers=bearer(tokens.access))
        for auth in replicas
        for tokens in family
        for method, path in ASKED
    ]
    return {answer.status_code for answer in answers}


async def assert_theft(auth: AuthApp, refresh: str) -> None:
    document = problem(await auth.refresh(refresh), 401, "invalid_refresh_token")
    assert (document["detail"], document["error"]) == ("Token not valid", "invalid_grant")


async def assert_ended(replicas: tuple[AuthApp, AuthApp], *family: Pair) -> None:
    assert await statuses(replicas, *family) == {401}
    for auth in replicas:
        for tokens in family:
            await assert_theft(auth, tokens.refresh)


async def test_reuse_beyond_the_grace_ends_the_whole_family_and_its_access_tokens(
    first: Pair, clock: DatabaseClock, replicas: tuple[AuthApp, AuthApp]
) -> None:
    one, other = replicas
    second = pair(await one.refresh(first.refresh))
    third = pair(await other.refresh(second.refresh))
    assert await statuses(replicas, first, second, third) == {200, 204}
    await clock.forward(GRACE)

    await assert_theft(other, second.refresh)

    await assert_ended(replicas, first, second, third)


async def test_to_the_end_of_the_grace_it_is_no_theft_and_gives_the_same_pair(
    first: Pair, clock: DatabaseClock, replicas: tuple[AuthApp, AuthApp]
) -> None:
    one, other = replicas
    second = pair(await one.refresh(first.refresh))
    await clock.forward(GRACE - 0.001)

    assert pair(await other.refresh(first.refresh)) == second

    assert await statuses(replicas, first, second) == {200, 204}


async def test_the_grace_counts_from_the_first_use(
    first: Pair, clock: DatabaseClock, replicas: tuple[AuthApp, AuthApp]
) -> None:
    one, other = replicas
    second = pair(await one.refresh(first.refresh))
    await clock.forward(GRACE - 1)
    pair(await other.refresh(first.refresh))
    await clock.forward(1)

    await assert_theft(other, first.refresh)

    await assert_ended(replicas, first, second)


async def test_without_a_grace_the_second_use_is_theft(
    databases: Databases, keys: Keys, bus: MemoryBus, clock: DatabaseClock, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, refresh_grace=0), bus) as auth:
        first = pair(await auth.log_in((await accounts.new()).username))
        second = pair(await auth.refresh(first.refresh))

        await assert_theft(auth, first.refresh)

        await assert_ended((auth, auth), first, second)


async def test_the_other_sessions_of_the_account_live_on(
    first: Pair, account: AccountChanged, clock: DatabaseClock, replicas: tuple[AuthApp, AuthApp]
) -> None:
    one, other = replicas
    elsewhere = pair(await other.log_in(account.username))
    pair(await one.refresh(first.refresh))
    await clock.forward(GRACE)

    await assert_theft(one, first.refresh)

    assert await statuses(replicas, elsewhere) == {200, 204}
    pair(await one.refresh(elsewhere.refresh))


async def test_every_repeat_within_the_grace_gives_the_same_pair_though_it_has_been_used(
    first: Pair, replicas: tuple[AuthApp, AuthApp], sql: asyncpg.Connection
) -> None:
    one, other = replicas
    second = pair(await one.refresh(first.refresh))
    third = pair(await other.refresh(second.refresh))

    assert [pair(await auth.refresh(first.refresh)) for auth in (other, one, other)] == [second] * 3

    assert pair(await one.refresh(second.refresh)) == third
    assert await sql.fetchval("SELECT count(*) FROM refresh_tokens") == 3
    assert await statuses(replicas, first, second, third) == {200, 204}


async def test_a_session_that_has_ended_has_no_grace(
    first: Pair, account: AccountChanged, accounts: Accounts, replicas: tuple[AuthApp, AuthApp]
) -> None:
    one, other = replicas
    logged_out, changed = first, pair(await one.log_in(account.username))
    second = pair(await one.refresh(logged_out.refresh))
    pair(await one.refresh(changed.refresh))
    assert (await one.http.post(f"{AUTH}/logout", headers=bearer(second.access))).status_code == 204
    await accounts.end_sessions(account)

    for ended in (logged_out, changed):
        await assert_theft(other, ended.refresh)


@pytest.mark.parametrize("_time", range(10))
async def test_of_ten_at_once_all_get_one_pair(
    first: Pair, replicas: tuple[AuthApp, AuthApp], sql: asyncpg.Connection, _time: int
) -> None:
    answers = await asyncio.gather(*(replicas[number % 2].refresh(first.refresh) for number in range(10)))

    (second,) = {pair(answer) for answer in answers}
    assert await sql.fetchval("SELECT count(*) FROM refresh_tokens") == 2
    assert await statuses(replicas, first, second) == {200, 204}


async def test_no_part_of_the_pair_is_stored(
    first: Pair, replicas: tuple[AuthApp, AuthApp], sql: asyncpg.Connection
) -> None:
    second = pair(await replicas[0].refresh(first.refresh))
    rows = "SELECT coalesce(string_agg(each::text, ''), '') FROM {} AS each"
    stored = "".join([await sql.fetchval(rows.format(table)) for table in ("refresh_tokens", "sessions", "outbox")])

    assert pair(await replicas[1].refresh(first.refresh)) == second

    assert [token for token in (second.access, second.refresh) if token.rpartition(".")[2] in stored] == []


async def test_users_refuses_the_access_tokens_of_the_whole_family_soon_and_no_others(
    auth_app: AuthApp, users_app: UsersApp, sql: asyncpg.Connection
) -> None:
    username = (await register(users_app))["username"]
    elsewhere = pair(await password_accepted(auth_app, username))
    first = pair(await auth_app.log_in(username))
    second = pair(await auth_app.refresh(first.refresh))
    family = [first, second, pair(await auth_app.refresh(second.refresh))]

    async def known(tokens: Pair) -> bool:
        return (await users_app.http.get(f"{USERS}/me", headers=bearer(tokens.access))).status_code == 200

    assert [await known(each) for each in (*family, elsewhere)] == [True] * 4
    await sql.execute("UPDATE refresh_tokens SET used_at = used_at - $1::interval", timedelta(seconds=GRACE))

    await assert_theft(auth_app, first.refresh)

    async def heard() -> bool:
        return not any([await known(each) for each in family])

    await eventually(heard)
    assert await known(elsewhere)
