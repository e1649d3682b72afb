"""S42: whoever tries many names from one address is limited as one name is, exactly, and nobody else with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from uuid import uuid4

import asyncpg
import httpx
import pytest

from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts
from tests.builders import OTHER_PASSWORD, PASSWORD
from tests.composed import AUTH, AuthApp, Keys, auth_settings, client, running_auth
from tests.database_clock import DatabaseClock
from tests.integration.audit_trail import Trail, bus, trail
from tests.integration.auth.conftest import accounts, clock, sql
from tests.security.compared import Compared
from tests.servers.databases import Databases

__all__ = ("accounts", "bus", "clock", "sql", "trail")

AN_HOUR = 5
HERE, ELSEWHERE, PROXY = "198.51.100.7", "203.0.113.1", "192.0.2.1"
HOUR = 3600

_names = count()


@pytest.fixture
async def auth(databases: Databases, keys: Keys, bus: MemoryBus, clock: DatabaseClock) -> AsyncIterator[AuthApp]:
    settings = auth_settings(databases, keys, throttle_address_per_hour=AN_HOUR, trusted_proxies=PROXY)
    async with running_auth(settings, bus) as app:
        yield app


@pytest.fixture
def compared(auth: AuthApp, monkeypatch: pytest.MonkeyPatch) -> Compared:
    return Compared(auth, monkeypatch)


async def ask(auth: AuthApp, username: str, password: str = OTHER_PASSWORD, address: str = HERE) -> httpx.Response:
    async with client(auth.app, address) as http:
        return await http.post(f"{AUTH}/token", data={"username": username, "password": password})


async def outcome(
    auth: AuthApp, username: str, password: str = OTHER_PASSWORD, address: str = HERE
) -> tuple[int, str | None]:
    answer = await ask(auth, username, password, address)
    return answer.status_code, answer.headers.get("retry-after")


def another_name() -> str:
    return f"nobody {next(_names)}"


async def spray(auth: AuthApp, address: str = HERE, times: int = AN_HOUR) -> None:
    """As many names as may be tried, each once."""
    assert [await outcome(auth, another_name(), address=address) for _ in range(times)] == [(400, None)] * times


async def test_beyond_the_limit_any_name_with_any_password_is_refused_alike_and_nothing_is_compared(
    auth: AuthApp, accounts: Accounts, compared: Compared
) -> None:
    account = await accounts.new()
    await spray(auth)

    answers = [
        await ask(auth, username, password)
        for username in (account.username, another_name())
        for password in (PASSWORD, OTHER_PASSWORD)
    ]

    assert {(answer.status_code, answer.headers["retry-after"], answer.text) for answer in answers} == {
        (429, str(HOUR), answers[0].text)
    }
    assert compared.times == AN_HOUR


async def test_other_addresses_are_not_refused(auth: AuthApp, accounts: Accounts) -> None:
    account = await accounts.new()
    await spray(auth)

    assert await outcome(auth, account.username, PASSWORD, ELSEWHERE) == (200, None)


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
        ("::ffff:198.51.100.9", "198.51.100.9", "198.51.100.10"),
    ],
)
async def test_a_network_of_ipv6_is_one_address_and_ipv4_has_one_notation(
    auth: AuthApp, first: str, same: str, other: str
) -> None:
    await spray(auth, first)

    assert await outcome(auth, another_name(), address=same) == (429, str(HOUR))
    assert await outcome(auth, another_name(), address=other) == (400, None)


async def test_an_hour_is_any_hour(auth: AuthApp, clock: DatabaseClock) -> None:
    await spray(auth, times=2)
    await clock.forward(HOUR / 2)
    await spray(auth, times=AN_HOUR - 2)

    assert await outcome(auth, another_name()) == (429, str(HOUR // 2))
    await clock.forward(HOUR / 2)
    await spray(auth, times=2)
    assert await outcome(auth, another_name()) == (429, str(HOUR // 2))


async def test_an_account_that_has_logged_in_from_there_keeps_its_own_tries_under_its_own_limits(
    auth: AuthApp, accounts: Accounts
) -> None:
    owner, stranger = await accounts.new(), await accounts.new()
    assert await outcome(auth, owner.username, PASSWORD) == (200, None)
    await spray(auth)

    assert await outcome(auth, owner.username, PASSWORD) == (200, None)
    assert await outcome(auth, stranger.username, PASSWORD) == (429, str(HOUR))
    assert [(await outcome(auth, owner.username))[0] for _ in range(11)] == [400] * 10 + [429]
    assert await outcome(auth, stranger.username, PASSWORD, ELSEWHERE) == (200, None)


async def test_a_right_password_forgives_nothing_of_it(auth: AuthApp, accounts: Accounts) -> None:
    own = await accounts.new()
    await spray(auth, times=AN_HOUR - 1)

    assert await outcome(auth, own.username, PASSWORD) == (200, None)

    await spray(auth, times=1)
    assert await outcome(auth, another_name()) == (429, str(HOUR))


async def test_of_30_names_at_once_no_more_are_compared_than_an_hour_allows(auth: AuthApp, compared: Compared) -> None:
    answers = await asyncio.gather(*(ask(auth, another_name()) for _ in range(30)))

    assert compared.times == AN_HOUR
    assert {answer.status_code for answer in answers} <= {400, 429, 503}


async def test_right_passwords_at_once_all_get_in_and_leave_nothing(
    auth: AuthApp, accounts: Accounts, sql: asyncpg.Connection
) -> None:
    people = [await accounts.new() for _ in range(AN_HOUR + 3)]

    answers = await asyncio.gather(*(ask(auth, account.username, PASSWORD) for account in people))

    assert {answer.status_code for answer in answers} == {200}
    assert await sql.fetchval("SELECT count(*) FROM address_failures") == 0


async def test_a_trusted_proxy_that_names_no_client_is_not_limited_for_all_its_clients(auth: AuthApp) -> None:
    await spray(auth, PROXY, times=AN_HOUR + 2)


async def test_the_address_is_not_stored_in_clear_and_the_audit_trail_says_why(
    auth: AuthApp, accounts: Accounts, sql: asyncpg.Connection, trail: Trail
) -> None:
    account = await accounts.new(account_id=uuid4())
    await spray(auth)

    await ask(auth, account.username, PASSWORD)

    assert HERE.encode().hex() not in await sql.fetchval(
        "SELECT string_agg(each::text, '') FROM address_failures AS each"
    )
    await trail.becomes(str(account.account_id), ("login", "throttled", "too_many_from_address"))
