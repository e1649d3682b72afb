"""How often Postgres is asked for a login, a code, a refresh, a check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest

from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Login, Steps, pair
from tests.builders import OTHER_PASSWORD
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.round_trips import RoundTrips
from tests.servers.databases import Databases

TIMES = 12


def settled(counts: Iterable[int]) -> int:
    """Of a connection that is new the driver has to learn the types first, and which one is used is chance."""
    return min(counts)


@pytest.fixture
async def auth_app(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    # Few connections: on each of them the driver has to learn of the types, once.
    async with running_auth(auth_settings(databases, keys, database_pool=2), bus) as app:
        yield app


@pytest.fixture
def round_trips(auth_app: AuthApp) -> RoundTrips:
    return RoundTrips(auth_app.parts.database)


async def test_a_login_asks_once_before_the_hash_and_twice_after_it(
    auth_app: AuthApp, accounts: Accounts, round_trips: RoundTrips
) -> None:
    account = await accounts.new()

    answers = [await auth_app.log_in(account.username) for _ in range(TIMES)]

    # The slots; the session, and the slots released.
    assert settled(map(round_trips.of, answers)) == 1 + 2
    assert {answer.status_code for answer in answers} == {200}


async def test_a_login_with_2fa_asks_once_before_the_hash_and_after_it_in_one_transaction_and_once_more(
    auth_app: AuthApp, accounts: Accounts, round_trips: RoundTrips
) -> None:
    account = await accounts.new(is_2fa=True)

    answers = [await auth_app.log_in(account.username) for _ in range(TIMES)]

    assert settled(map(round_trips.of, answers)) == 1 + 5 + 1
    assert {answer.status_code for answer in answers} == {200}


async def test_a_wrong_password_asks_as_often_whether_there_is_such_an_account_or_not(
    auth_app: AuthApp, accounts: Accounts, round_trips: RoundTrips
) -> None:
    known, inactive = await accounts.new(), await accounts.new(is_active=False)
    names = [known.username, inactive.username, "nobody"]

    answers = {name: [await auth_app.log_in(name, OTHER_PASSWORD) for _ in range(6)] for name in names}

    # The slots, a look at the deadline, and the failures.
    assert [settled(map(round_trips.of, answers[name])) for name in names] == [3, 3, 3]
    assert {answer.status_code for each in answers.values() for answer in each} == {400}


@pytest.mark.parametrize("known", [True, False])
async def test_a_right_code_asks_for_three_things_in_one_transaction_whether_it_proves_an_address_or_not(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, round_trips: RoundTrips, known: bool
) -> None:
    account = await accounts.new(is_2fa=True, email_verified=known)

    async def verified(login: Login) -> httpx.Response:
        return await auth_app.verify_otp(login.temporary, login.code)

    answers = [await verified(await steps.begin(account)) for _ in range(TIMES)]

    assert settled(map(round_trips.of, answers)) == 5
    assert {answer.status_code for answer in answers} == {200}


async def test_a_refresh_asks_once(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, round_trips: RoundTrips
) -> None:
    tokens = await steps.log_in(await accounts.new())
    asked = []
    for _ in range(TIMES):
        answer = await auth_app.refresh(tokens.refresh)
        tokens = pair(answer)
        asked.append(round_trips.of(answer))

    assert settled(asked) == 1


@pytest.mark.parametrize(("method", "path"), [("POST", f"{AUTH}/verify-token"), ("GET", f"{AUTH}/forward")])
async def test_a_check_asks_once_and_those_of_the_same_moment_ask_together(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, round_trips: RoundTrips, method: str, path: str
) -> None:
    people = [await steps.log_in(await accounts.new()) for _ in range(4)]
    requests = [(method, path, bearer(tokens.access)) for tokens in people] * 4

    async def check(method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        return await auth_app.http.request(method, path, headers=headers)

    for _ in range(TIMES):
        await check(*requests[0])
    before = round_trips.of_all_requests()
    alone = [await check(*requests[0]) for _ in range(2)]
    asked_alone = round_trips.of_all_requests() - before
    together = await asyncio.gather(*(check(*request) for request in requests))

    assert asked_alone == 2
    # At most one for who came first, and one for all who came meanwhile.
    assert round_trips.of_all_requests() - before - asked_alone <= 2
    assert {answer.status_code for answer in (*alone, *together)} <= {200, 204}


async def test_a_code_wakes_the_relay_and_a_record_of_the_audit_trail_does_not(
    auth_app: AuthApp, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    without, with_2fa = await accounts.new(), await accounts.new(is_2fa=True)
    woken: list[None] = []
    monkeypatch.setattr(auth_app.parts.database.committed, "set", lambda: woken.append(None))

    tokens = pair(await auth_app.log_in(without.username))
    pair(await auth_app.refresh(tokens.refresh))
    assert (await auth_app.log_in(without.username, OTHER_PASSWORD)).status_code == 400
    assert woken == []

    assert (await auth_app.log_in(with_2fa.username)).status_code == 200
    assert woken == [None]
