"""S11: five wrong codes end a challenge; the right one then gets their answer, whoever is asked."""

from __future__ import annotations

import asyncpg
import httpx
import pytest

from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts, Login, Steps, pair, wrong
from tests.composed import AuthApp, Keys, auth_settings
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts, sql, steps
from tests.security.replica import replica
from tests.servers.databases import Databases

__all__ = ("accounts", "replica", "sql", "steps")

LIMIT = 5


@pytest.fixture
async def account(auth_app: AuthApp, accounts: Accounts) -> AccountChanged:
    return await accounts.new(is_2fa=True)


@pytest.fixture
async def login(account: AccountChanged, steps: Steps) -> Login:
    return await steps.begin(account)


def whole(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """All that a client sees but the request's own id."""
    return answer.status_code, answer.content, {**answer.headers, "x-request-id": ""}


async def guess_wrong(auth: AuthApp, login: Login, times: int) -> list[httpx.Response]:
    return [await auth.verify_otp(login.temporary, wrong(login.code, number)) for number in range(1, times + 1)]


async def test_after_five_wrong_codes_the_right_one_gets_their_answer_and_no_session(
    auth_app: AuthApp, replica: AuthApp, login: Login, sql: asyncpg.Connection
) -> None:
    refused = await guess_wrong(auth_app, login, LIMIT)

    right = [await auth.verify_otp(login.temporary, login.code) for auth in (auth_app, replica)]

    assert [(answer.status_code, answer.json()["code"]) for answer in right] == [(400, "otp_not_valid")] * 2
    assert all(whole(answer) == whole(refused[0]) for answer in [*refused, *right])
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 0
    assert await sql.fetchval("SELECT attempts FROM challenges") == LIMIT


async def test_wrong_codes_count_together_on_whichever_replica_they_are_tried(
    auth_app: AuthApp, replica: AuthApp, login: Login
) -> None:
    await guess_wrong(auth_app, login, 3)
    await guess_wrong(replica, login, 2)

    assert (await auth_app.verify_otp(login.temporary, login.code)).status_code == 400


async def test_a_challenge_that_is_spent_tells_nothing_and_sends_nothing_more(
    auth_app: AuthApp, account: AccountChanged, login: Login, inbox: Inbox
) -> None:
    await guess_wrong(auth_app, login, LIMIT)

    assert (await auth_app.challenge(login.temporary)).status_code == 401
    assert (await auth_app.resend_otp(login.temporary)).status_code == 401
    assert len(inbox.codes[account.email]) == 1


async def test_a_success_at_the_fifth_attempt_is_a_success(auth_app: AuthApp, login: Login) -> None:
    await guess_wrong(auth_app, login, LIMIT - 1)

    pair(await auth_app.verify_otp(login.temporary, login.code))


async def test_another_login_of_the_same_account_is_not_spent(
    auth_app: AuthApp, account: AccountChanged, login: Login, steps: Steps
) -> None:
    await guess_wrong(auth_app, login, LIMIT)
    second = await steps.begin(account)

    pair(await auth_app.verify_otp(second.temporary, second.code))


def test_the_limit_is_that_of_the_design(keys: Keys) -> None:
    nowhere = Databases("none", "postgresql+asyncpg://nobody@127.0.0.1:1/none")
    assert auth_settings(nowhere, keys).otp_attempts == LIMIT
