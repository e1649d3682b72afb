"""S16: wrong codes of one account are counted across its challenges, and too many switch mailed codes off for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from services.cli import app as command_line
from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Login, Steps, pair, wrong
from tests.builders import OTHER_PASSWORD
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts, sql
from tests.servers.databases import Databases

__all__ = ("accounts", "sql")

LIMIT = 7


@pytest.fixture
async def auth(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    settings = auth_settings(databases, keys, otp_wrong_in_a_row=LIMIT, otp_resend_cooldown=0)
    async with running_auth(settings, bus) as app:
        yield app


@pytest.fixture
def steps(auth: AuthApp, inbox: Inbox) -> Steps:
    return Steps(auth, inbox)


@pytest.fixture
async def account(auth: AuthApp, accounts: Accounts) -> AccountChanged:
    """Asks for `auth`, so that there is one to be told of it."""
    return await accounts.new(is_2fa=True)


async def guess_wrong(auth: AuthApp, steps: Steps, account: AccountChanged, times: int) -> Login:
    """As many as five on each challenge; the last challenge."""
    while times:
        login = await steps.begin(account)
        for number in range(1, min(times, 5) + 1):
            answer = await auth.verify_otp(login.temporary, wrong(login.code, number))
            assert (answer.status_code, answer.json()["code"]) == (400, "otp_not_valid")
            times -= 1
    return login


async def unlock(databases: Databases, username: str) -> Result:
    """As an administrator does it."""
    environment = {"AUTH_DATABASE_URL": databases.auth_url}
    command = ["auth", "unlock", "--username", username]
    return await asyncio.to_thread(CliRunner().invoke, command_line, command, env=environment)


async def test_after_so_many_wrong_codes_across_challenges_codes_are_off(
    auth: AuthApp, steps: Steps, account: AccountChanged, inbox: Inbox
) -> None:
    login = await guess_wrong(auth, steps, account, LIMIT)
    sent = len(inbox.codes[account.email])

    refused = await auth.log_in(account.username)

    assert (refused.status_code, refused.json()["code"], refused.json()["error"]) == (400, "codes_off", "invalid_grant")
    assert "temporary_token" not in refused.json()
    assert (await auth.resend_otp(login.temporary)).status_code == 401
    assert (await auth.challenge(login.temporary)).status_code == 401
    assert len(inbox.codes[account.email]) == sent


async def test_the_right_code_gets_the_answer_of_a_wrong_one_when_codes_are_off(
    auth: AuthApp, steps: Steps, account: AccountChanged
) -> None:
    login = await guess_wrong(auth, steps, account, LIMIT - 1)
    mistaken = await auth.verify_otp(login.temporary, wrong(login.code, 9))

    right = await auth.verify_otp(login.temporary, login.code)

    assert (right.status_code, right.content) == (mistaken.status_code, mistaken.content)


async def test_a_right_code_at_the_last_moment_counts_and_all_before_it_are_forgotten(
    auth: AuthApp, steps: Steps, account: AccountChanged
) -> None:
    for _ in range(2):
        login = await guess_wrong(auth, steps, account, LIMIT - 1)
        pair(await auth.verify_otp(login.temporary, login.code))


async def test_codes_at_once_on_many_challenges_do_not_exceed_the_limit(
    auth: AuthApp, steps: Steps, account: AccountChanged, sql: asyncpg.Connection
) -> None:
    logins = [await steps.begin(account) for _ in range(10)]
    guesses = [(login.temporary, wrong(login.code, number)) for number in range(1, 6) for login in logins]

    await asyncio.gather(*(auth.verify_otp(*guess) for guess in guesses))

    assert await sql.fetchval("SELECT sum(attempts) FROM challenges") == LIMIT
    assert await sql.fetchval("SELECT failures FROM code_failures") == LIMIT


async def test_what_is_not_compared_is_not_counted(
    auth: AuthApp, steps: Steps, account: AccountChanged, sql: asyncpg.Connection
) -> None:
    login = await steps.begin(account)
    guesses = [wrong(login.code, number) for number in range(1, 31)]

    await asyncio.gather(*(auth.verify_otp(login.temporary, guess) for guess in guesses))

    assert await sql.fetchval("SELECT failures FROM code_failures") == 5


async def test_wrong_passwords_and_wrong_codes_are_counted_apart(
    auth: AuthApp, steps: Steps, account: AccountChanged, sql: asyncpg.Connection
) -> None:
    for _ in range(LIMIT):
        assert (await auth.log_in(account.username, OTHER_PASSWORD)).status_code == 400
    assert await sql.fetchval("SELECT count(*) FROM code_failures") == 0
    await guess_wrong(auth, steps, account, LIMIT)

    assert (await auth.log_in(account.username, OTHER_PASSWORD)).json()["code"] == "incorrect_credentials"
    assert await sql.fetchval("SELECT failures FROM login_failures") == 1


async def test_nobody_else_is_concerned_nor_who_is_logged_in(
    auth: AuthApp, steps: Steps, accounts: Accounts, account: AccountChanged
) -> None:
    before = await steps.begin(account)
    tokens = pair(await auth.verify_otp(before.temporary, before.code))

    await guess_wrong(auth, steps, account, LIMIT)

    pair(await auth.refresh(tokens.refresh))
    login = await steps.begin(await accounts.new(is_2fa=True))
    pair(await auth.verify_otp(login.temporary, login.code))


async def test_an_administrator_lets_the_account_in_again(
    auth: AuthApp, steps: Steps, account: AccountChanged, databases: Databases, sql: asyncpg.Connection
) -> None:
    await guess_wrong(auth, steps, account, LIMIT)
    await auth.log_in(account.username, OTHER_PASSWORD)
    assert (await auth.log_in(account.username)).status_code == 400

    result = await unlock(databases, account.username.upper())

    # The trail's record may stand before it: to where it goes is the process's affair.
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, f"{account.username.upper()} may log in again")
    assert await sql.fetchval("SELECT count(*) FROM login_failures") == 0
    login = await steps.begin(account)
    pair(await auth.verify_otp(login.temporary, login.code))


async def test_an_administrator_is_told_when_nobody_has_the_name(databases: Databases) -> None:
    result = await unlock(databases, "nobody")

    assert (result.exit_code, result.stderr) == (2, "No account has this username\n")


async def test_an_administrator_is_told_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        monkeypatch.delenv(name)

    result = CliRunner().invoke(command_line, ["auth", "unlock", "--username", "ann"])

    assert result.exit_code == 2
    assert "AUTH_DATABASE_URL is not set" in result.stderr


def test_the_limit_is_that_of_the_design(keys: Keys) -> None:
    assert (
        auth_settings(Databases("none", "postgresql+asyncpg://nobody@127.0.0.1:1/none"), keys).otp_wrong_in_a_row == 100
    )
