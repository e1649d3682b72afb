"""S8: wrong passwords are counted before they are compared, and a stranger who guesses does not shut the owner out."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from services.auth.login import attempts
from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts
from tests.builders import OTHER_PASSWORD, PASSWORD
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.database_clock import DatabaseClock
from tests.integration.auth.conftest import accounts, clock, sql
from tests.security.compared import Compared
from tests.servers.databases import Databases

__all__ = ("accounts", "clock", "sql")

HOME = "198.51.100.7"
HOUR = 3600


@pytest.fixture
async def few(databases: Databases, keys: Keys, bus: MemoryBus, clock: DatabaseClock) -> AsyncIterator[AuthApp]:
    """Two wrong passwords an hour for one name."""
    async with running_auth(auth_settings(databases, keys, throttle_name_per_hour=2), bus) as app:
        yield app


async def ask(auth: AuthApp, username: str, password: str = OTHER_PASSWORD, address: str = HOME) -> httpx.Response:
    return await auth.log_in(username, password, address)


async def outcome(*arguments: Any) -> tuple[int, str | None]:
    answer = await ask(*arguments)
    return answer.status_code, answer.headers.get("retry-after")


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code in (429, 503))
    return Counter(answer.status_code for answer in answers)


def strangers() -> list[str]:
    return [f"203.0.113.{number}" for number in range(1, 51)]


# --- at once


@pytest.mark.parametrize("name", ["an account", "nobody"])
async def test_of_50_wrong_passwords_at_once_ten_are_compared(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a slow machine a wait of a second would be over while some of them are still waiting for a slot.
    async with running_auth(auth_settings(databases, keys, throttle_first_wait=60.0), bus) as auth:
        username = (await accounts.new()).username if name == "an account" else name
        compared = Compared(auth, monkeypatch)

        answers = await asyncio.gather(*(ask(auth, username) for _ in range(50)))

    assert compared.times == 10
    assert statuses(answers).keys() <= {400, 429, 503}


async def test_of_50_at_once_from_as_many_addresses_no_more_are_compared_than_an_hour_allows(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_auth(auth_settings(databases, keys, throttle_name_per_hour=8), bus) as auth:
        for username in ((await accounts.new()).username, "nobody"):
            with monkeypatch.context() as patch:
                compared = Compared(auth, patch)

                answers = await asyncio.gather(*(ask(auth, username, OTHER_PASSWORD, each) for each in strangers()))

            assert compared.times == 8
            assert statuses(answers).keys() <= {400, 429, 503}


@pytest.mark.parametrize(("wrong_before", "at_once"), [(0, 2), (9, 2), (0, 15)])
async def test_right_passwords_at_once_all_get_in(
    auth_app: AuthApp, accounts: Accounts, wrong_before: int, at_once: int
) -> None:
    account = await accounts.new()
    for _ in range(wrong_before):
        assert (await ask(auth_app, account.username)).status_code == 400

    answers = await asyncio.gather(*(ask(auth_app, account.username, PASSWORD) for _ in range(at_once)))

    assert statuses(answers) == {200: at_once}


async def test_a_place_of_a_process_that_died_is_free_again_after_a_minute(
    few: AuthApp, clock: DatabaseClock, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_PAUSES", ())
    await ask(few, "nobody")
    await sql.execute("UPDATE name_failures SET in_flight = 1, in_flight_until = now() + interval '1 minute'")

    assert await outcome(few, "nobody") == (429, "1")
    await clock.forward(60)
    assert await outcome(few, "nobody") == (400, None)


# --- by name from all addresses


async def test_an_hour_is_any_hour(few: AuthApp, clock: DatabaseClock) -> None:
    first, second, third = strangers()[:3]
    assert await outcome(few, "nobody", OTHER_PASSWORD, first) == (400, None)
    await clock.forward(HOUR / 2)
    assert await outcome(few, "nobody", OTHER_PASSWORD, second) == (400, None)

    assert await outcome(few, "nobody", OTHER_PASSWORD, third) == (429, "1800")
    await clock.forward(HOUR / 2 - 1)
    assert await outcome(few, "nobody", OTHER_PASSWORD, third) == (429, "1")
    await clock.forward(1)
    assert await outcome(few, "nobody", OTHER_PASSWORD, third) == (400, None)
    assert await outcome(few, "nobody", OTHER_PASSWORD, third) == (429, "1800")


async def test_a_stranger_who_guesses_all_day_does_not_shut_the_owner_out(
    few: AuthApp, accounts: Accounts, clock: DatabaseClock
) -> None:
    account = await accounts.new()
    assert await outcome(few, account.username, PASSWORD) == (200, None)

    for hour in range(24):
        here = strangers()[hour : hour + 3]
        guesses = [(await outcome(few, account.username, OTHER_PASSWORD, each))[0] for each in here]

        assert guesses == [400, 400, 429]
        assert await outcome(few, account.username, PASSWORD) == (200, None)
        assert await outcome(few, account.username, PASSWORD, here[-1]) == (429, "3600")
        await clock.forward(HOUR)


async def spend_the_hour(auth: AuthApp, username: str) -> None:
    for stranger in strangers()[:2]:
        assert await outcome(auth, username, OTHER_PASSWORD, stranger) == (400, None)


async def test_from_a_familiar_address_too_wrong_passwords_lead_to_a_wait(few: AuthApp, accounts: Accounts) -> None:
    account = await accounts.new()
    await ask(few, account.username, PASSWORD)
    await spend_the_hour(few, account.username)

    assert [(await outcome(few, account.username))[0] for _ in range(11)] == [400] * 10 + [429]


async def test_an_address_is_familiar_to_the_accounts_that_logged_in_from_it_alone(
    few: AuthApp, accounts: Accounts
) -> None:
    mine, theirs = await accounts.new(), await accounts.new()
    await ask(few, theirs.username, PASSWORD)
    await spend_the_hour(few, mine.username)

    assert await outcome(few, mine.username, PASSWORD) == (429, "3600")


async def test_the_right_password_without_the_code_makes_no_address_familiar(
    few: AuthApp, accounts: Accounts, sql: asyncpg.Connection
) -> None:
    account = await accounts.new(is_2fa=True)

    assert await outcome(few, account.username, PASSWORD) == (200, None)

    assert await sql.fetchval("SELECT count(*) FROM familiar_addresses") == 0


async def test_an_address_is_forgotten_in_time(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts, clock: DatabaseClock
) -> None:
    settings = auth_settings(databases, keys, throttle_name_per_hour=2, familiar_address_lifetime=10 * 86400)
    async with running_auth(settings, bus) as auth:
        account = await accounts.new()
        for days, expected in ((0, 200), (9, 200), (9, 200), (10, 429)):
            await clock.forward(days * 86400)
            if days:
                await spend_the_hour(auth, account.username)
            assert (await outcome(auth, account.username, PASSWORD))[0] == expected


async def test_a_new_server_key_makes_nobody_a_stranger(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, throttle_name_per_hour=2), bus) as auth:
        account = await accounts.new()
        await ask(auth, account.username, PASSWORD)
    rotated = auth_settings(databases, keys, throttle_name_per_hour=2, otp_peppers=f"{'new' * 11},{keys.pepper}")
    async with running_auth(rotated, MemoryBus()) as auth:
        await spend_the_hour(auth, account.username)

        assert await outcome(auth, account.username, PASSWORD) == (200, None)


# --- what it tells, and what it keeps


async def refusals(auth: AuthApp, account: AccountChanged | None) -> list[tuple[int, str, bytes]]:
    """By name and address, then by name."""
    username = account.username if account else "nobody"
    await spend_the_hour(auth, username)
    answers = [await ask(auth, username, OTHER_PASSWORD, each) for each in (strangers()[0], HOME)]
    return [(each.status_code, each.headers["retry-after"], each.content) for each in answers]


async def test_a_429_tells_nothing_about_whether_there_is_an_account(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts, clock: DatabaseClock
) -> None:
    settings = auth_settings(databases, keys, throttle_name_per_hour=2, throttle_free=1, throttle_first_wait=60)
    async with running_auth(settings, bus) as auth:
        inactive = await accounts.new(is_active=False)
        told = [await refusals(auth, each) for each in (await accounts.new(), inactive, None)]

    assert [status for status, _, _ in told[0]] == [429, 429]
    assert told[0] == told[1] == told[2]


async def test_no_address_is_stored_in_clear_or_under_a_hash_without_a_key(
    auth_app: AuthApp, accounts: Accounts, sql: asyncpg.Connection
) -> None:
    account = await accounts.new()
    await ask(auth_app, account.username, PASSWORD)
    await ask(auth_app, account.username)

    kept = [
        str(dict(row))
        for table in ("login_failures", "name_failures", "familiar_addresses")
        for row in await sql.fetch(f"SELECT to_jsonb({table}) AS row FROM {table}")
    ]

    assert len(kept) == 3
    for text in kept:
        assert HOME not in text
        assert hashlib.sha256(HOME.encode()).hexdigest() not in text


def test_the_limits_are_those_of_the_design(keys: Keys) -> None:
    settings = auth_settings(Databases("none", "postgresql+asyncpg://nobody@127.0.0.1:1/none"), keys)

    assert (settings.throttle_free, settings.throttle_name_per_hour) == (10, 100)
    assert (settings.throttle_first_wait, settings.throttle_longest_wait) == (1, 300)
