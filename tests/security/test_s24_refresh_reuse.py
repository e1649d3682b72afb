"""S24: the second use of a refresh token beyond the grace ends its family, access tokens included, everywhere."""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import pytest

from shared.events import AccountChanged
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, pair
from tests.composed import AUTH, USERS, AuthApp, UsersApp, bearer
from tests.database_clock import DatabaseClock
from tests.integration.auth.conftest import accounts, clock, sql
from tests.polling import eventually
from tests.security.replica import replica
from tests.security.somebody import password_accepted, register

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


async def test_to_the_end_of_the_grace_it_is_no_theft(
    first: Pair, clock: DatabaseClock, replicas: tuple[AuthApp, AuthApp]
) -> None:
    one, other = replicas
    pair(await one.refresh(first.refresh))  # lost
    await clock.forward(GRACE - 0.001)

    second = pair(await other.refresh(first.refresh))

    assert await statuses(replicas, first, second) == {200, 204}


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


async def test_the_grace_is_given_once(first: Pair, replicas: tuple[AuthApp, AuthApp]) -> None:
    one, other = replicas
    pair(await one.refresh(first.refresh))
    second = pair(await other.refresh(first.refresh))

    await assert_theft(one, first.refresh)

    await assert_ended(replicas, first, second)


async def test_the_answer_that_was_given_up_for_lost_is_theft_when_it_is_used(
    first: Pair, replicas: tuple[AuthApp, AuthApp]
) -> None:
    one, other = replicas
    lost = pair(await one.refresh(first.refresh))
    second = pair(await other.refresh(first.refresh))

    await assert_theft(one, lost.refresh)

    await assert_ended(replicas, first, second)


async def test_there_is_no_grace_for_a_token_whose_answer_has_been_used(
    first: Pair, replicas: tuple[AuthApp, AuthApp]
) -> None:
    one, other = replicas
    second = pair(await one.refresh(first.refresh))
    third = pair(await other.refresh(second.refresh))

    await assert_theft(one, first.refresh)

    await assert_ended(replicas, third)


async def test_of_ten_at_once_two_give_a_pair_and_the_rest_is_theft(
    first: Pair, replicas: tuple[AuthApp, AuthApp], sql: asyncpg.Connection
) -> None:
    answers = await asyncio.gather(*(replicas[number % 2].refresh(first.refresh) for number in range(10)))

    assert Counter(answer.status_code for answer in answers) == {200: 2, 401: 8}
    assert await sql.fetchval("SELECT count(*) FROM refresh_tokens") == 3
    await assert_ended(replicas, first, *(pair(answer) for answer in answers if answer.status_code == 200))


async def test_users_refuses_the_access_tokens_of_the_whole_family_soon_and_no_others(
    auth_app: AuthApp, users_app: UsersApp
) -> None:
    username = (await register(users_app))["username"]
    elsewhere = pair(await password_accepted(auth_app, username))
    first = pair(await auth_app.log_in(username))
    family = [first, *[pair(await auth_app.refresh(first.refresh)) for _ in range(2)]]

    async def known(tokens: Pair) -> bool:
        return (await users_app.http.get(f"{USERS}/me", headers=bearer(tokens.access))).status_code == 200

    assert [await known(each) for each in (*family, elsewhere)] == [True] * 4

    await assert_theft(auth_app, first.refresh)

    async def heard() -> bool:
        return not any([await known(each) for each in family])

    await eventually(heard)
    assert await known(elsewhere)
