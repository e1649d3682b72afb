"""How often Postgres is asked for one request: a count, which no machine is too slow for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from services.auth import pressure
from shared.correlation import correlation_id
from tests.auth_steps import Accounts, Login, Steps, pair
from tests.builders import OTHER_PASSWORD
from tests.composed import AuthApp

WARM = 3  # the first ones open connections, and prepare their statements

# What each of these waits for an answer to; BEGIN and COMMIT too.
ASKING = {"query", "bind_execute", "bind_execute_many"}


class _Listening:
    """The driver's protocol of one connection, every question of which is noted."""

    def __init__(self, protocol: Any, asked: Counter[str]) -> None:
        self._protocol = protocol
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._protocol, name)
        if name not in ASKING:
            return method

        def noted(*arguments: Any, **named: Any) -> Any:
            if arguments[:1] != (";",):  # whether a connection that was idle is still alive
                self._asked[correlation_id.get()] += 1
            return method(*arguments, **named)

        return noted


class RoundTrips:
    """Of each request, by its correlation id: what relay and sweep ask meanwhile has another."""

    def __init__(self, auth: AuthApp) -> None:
        self._asked: Counter[str] = Counter()
        engine = auth.parts.database._engine.sync_engine
        event.listen(engine, "checkout", self._listen)
        engine.pool._pre_ping = False

    def _listen(self, connection: Any, *_: Any) -> None:
        driver = connection.driver_connection
        if not isinstance(driver._protocol, _Listening):
            driver._protocol = _Listening(driver._protocol, self._asked)

    def of(self, answer: httpx.Response) -> int:
        return self._asked[answer.headers["x-request-id"]]


@pytest.fixture
def round_trips(auth_app: AuthApp, monkeypatch: pytest.MonkeyPatch) -> RoundTrips:
    monkeypatch.setattr(pressure, "_VERDICT_HOLDS", 3600)  # it is judged once a second, for all logins together
    return RoundTrips(auth_app)


async def test_a_login_asks_twice_once_on_each_side_of_the_hash(
    auth_app: AuthApp, accounts: Accounts, round_trips: RoundTrips
) -> None:
    account = await accounts.new()

    answers = [await auth_app.log_in(account.username) for _ in range(WARM + 2)]

    assert [round_trips.of(answer) for answer in answers[WARM:]] == [2, 2]
    assert {answer.status_code for answer in answers} == {200}


async def test_a_login_with_2fa_asks_once_before_the_hash_and_three_things_in_one_transaction_after_it(
    auth_app: AuthApp, accounts: Accounts, round_trips: RoundTrips
) -> None:
    account = await accounts.new(is_2fa=True)

    answers = [await auth_app.log_in(account.username) for _ in range(WARM + 2)]

    assert [round_trips.of(answer) for answer in answers[WARM:]] == [1 + 5, 1 + 5]
    assert {answer.status_code for answer in answers} == {200}


async def test_a_wrong_password_asks_as_often_whether_there_is_such_an_account_or_not(
    auth_app: AuthApp, accounts: Accounts, round_trips: RoundTrips
) -> None:
    known, inactive = await accounts.new(), await accounts.new(is_active=False)
    names = [known.username, inactive.username, "nobody"]

    answers = [await auth_app.log_in(name, OTHER_PASSWORD) for _ in range(WARM) for name in names]

    # The places, a look at the deadline, and the failures.
    assert [round_trips.of(answer) for answer in answers[-len(names) :]] == [3, 3, 3]
    assert {answer.status_code for answer in answers} == {400}


async def test_a_right_code_asks_for_three_things_in_one_transaction(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, round_trips: RoundTrips
) -> None:
    account = await accounts.new(is_2fa=True)

    async def verified(login: Login) -> httpx.Response:
        return await auth_app.verify_otp(login.temporary, login.code)

    answers = [await verified(await steps.begin(account)) for _ in range(WARM + 2)]

    assert [round_trips.of(answer) for answer in answers[WARM:]] == [5, 5]
    assert {answer.status_code for answer in answers} == {200}


async def test_a_refresh_asks_once(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, round_trips: RoundTrips
) -> None:
    tokens = await steps.log_in(await accounts.new())
    asked = []
    for _ in range(WARM + 2):
        answer = await auth_app.refresh(tokens.refresh)
        tokens = pair(answer)
        asked.append(round_trips.of(answer))

    assert asked[WARM:] == [1, 1]


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
