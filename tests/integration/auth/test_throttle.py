"""Wrong passwords in a row: some are free, then each doubles the wait."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, pair
from tests.builders import OTHER_PASSWORD, PASSWORD, full_width
from tests.composed import AUTH, AuthApp, Keys, auth_settings, running_auth
from tests.database_clock import DatabaseClock
from tests.servers.databases import Databases


@pytest.fixture
async def auth(databases: Databases, keys: Keys, bus: MemoryBus, clock: DatabaseClock) -> AsyncIterator[AuthApp]:
    """Three wrong passwords are free; the waits are of 10, 20, 40 and 50 seconds."""
    settings = auth_settings(databases, keys, throttle_free=3, throttle_first_wait=10, throttle_longest_wait=50)
    async with running_auth(settings, bus) as app:
        yield app


def outcome(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.headers.get("retry-after")


async def guess(auth: AuthApp, username: str, password: str = OTHER_PASSWORD) -> tuple[int, str | None]:
    return outcome(await auth.log_in(username, password))


async def spend_the_free_ones(auth: AuthApp, username: str) -> None:
    assert [await guess(auth, username) for _ in range(3)] == [(400, None)] * 3


async def test_the_first_wrong_ones_are_free_then_the_wait_doubles_up_to_its_longest(
    auth: AuthApp, accounts: Accounts, clock: DatabaseClock
) -> None:
    account = await accounts.new()
    await spend_the_free_ones(auth, account.username)

    for wait in (10, 20, 40, 50, 50):
        assert await guess(auth, account.username) == (429, str(wait))
        await clock.forward(wait - 1)
        assert await guess(auth, account.username) == (429, "1")
        await clock.forward(1)
        assert await guess(auth, account.username) == (400, None)


async def test_while_the_wait_lasts_the_right_password_is_refused_too_and_gets_in_after_it(
    auth: AuthApp, accounts: Accounts, clock: DatabaseClock
) -> None:
    account = await accounts.new()
    await spend_the_free_ones(auth, account.username)

    refused = await auth.log_in(account.username)
    await clock.forward(10)

    assert outcome(refused) == (429, "10")
    assert (refused.json()["code"], refused.json()["error"]) == ("too_many_requests", "temporarily_unavailable")
    assert refused.headers["content-type"] == "application/problem+json"
    pair(await auth.log_in(account.username))


async def test_a_success_gives_all_the_free_ones_back(auth: AuthApp, accounts: Accounts) -> None:
    account = await accounts.new()
    for _ in range(2):
        assert await guess(auth, account.username) == (400, None)

    pair(await auth.log_in(account.username))

    await spend_the_free_ones(auth, account.username)


async def test_a_name_that_nobody_has_is_treated_the_same(auth: AuthApp, clock: DatabaseClock) -> None:
    await spend_the_free_ones(auth, "nobody")

    for wait in (10, 20):
        assert await guess(auth, "nobody") == (429, str(wait))
        await clock.forward(wait)
        assert await guess(auth, "nobody") == (400, None)


async def test_a_name_is_one_name_however_it_is_written(auth: AuthApp, accounts: Accounts) -> None:
    await accounts.new(username="dave")
    for written in ("dave", "DAVE", full_width("dave")):
        assert await guess(auth, written) == (400, None)

    assert await guess(auth, " Dave") == (429, "10")


async def test_another_name_and_another_address_are_not_made_to_wait(auth: AuthApp, accounts: Accounts) -> None:
    account, other = await accounts.new(), await accounts.new()
    await spend_the_free_ones(auth, account.username)

    pair(await auth.log_in(other.username))
    pair(await auth.log_in(account.username, address="192.0.2.7"))


async def test_a_forged_x_forwarded_for_does_not_end_the_wait(auth: AuthApp, accounts: Accounts) -> None:
    account = await accounts.new()
    await spend_the_free_ones(auth, account.username)

    form = {"username": account.username, "password": PASSWORD}
    answer = await auth.http.post(f"{AUTH}/token", data=form, headers={"X-Forwarded-For": "192.0.2.8"})

    assert outcome(answer) == (429, "10")
