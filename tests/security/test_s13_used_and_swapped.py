"""S13: a code is for one login and for one use; with what belongs to another login it is worth nothing."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import jwt
import pytest

from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts, Login, Steps, pair
from tests.composed import AuthApp
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts, sql, steps
from tests.security.replica import replica

__all__ = ("accounts", "replica", "sql", "steps")


@pytest.fixture
async def account(auth_app: AuthApp, accounts: Accounts) -> AccountChanged:
    return await accounts.new(is_2fa=True)


def challenge_of(login: Login) -> str:
    return str(jwt.decode(login.temporary, options={"verify_signature": False})["jti"])


async def attempts(sql: asyncpg.Connection, login: Login) -> int:
    return int(await sql.fetchval("SELECT attempts FROM challenges WHERE id = $1", challenge_of(login)))


async def two_logins(steps: Steps, one: AccountChanged, other: AccountChanged) -> tuple[Login, Login]:
    first, second = await steps.begin(one), await steps.begin(other)
    while second.code == first.code:  # once in a million
        second = await steps.begin(other)
    return first, second


async def test_a_used_code_and_its_temporary_token_are_worth_nothing_on_either_replica(
    auth_app: AuthApp, replica: AuthApp, account: AccountChanged, steps: Steps, inbox: Inbox, sql: asyncpg.Connection
) -> None:
    login = await steps.begin(account)
    pair(await auth_app.verify_otp(login.temporary, login.code))

    for auth in (auth_app, replica):
        again = await auth.verify_otp(login.temporary, login.code)
        assert (again.status_code, again.json()["code"]) == (400, "otp_not_valid")
        assert (await auth.resend_otp(login.temporary)).status_code == 401
        assert (await auth.challenge(login.temporary)).status_code == 401
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1
    assert len(inbox.codes[account.email]) == 1


async def test_a_used_temporary_token_takes_no_code_of_a_later_login(
    auth_app: AuthApp, account: AccountChanged, steps: Steps
) -> None:
    used = await steps.begin(account)
    pair(await auth_app.verify_otp(used.temporary, used.code))
    later = await steps.begin(account)

    assert (await auth_app.verify_otp(used.temporary, later.code)).status_code == 400

    pair(await auth_app.verify_otp(later.temporary, later.code))


async def test_a_code_with_the_token_of_another_login_of_the_account_is_refused_and_counted_there(
    auth_app: AuthApp, account: AccountChanged, steps: Steps, sql: asyncpg.Connection
) -> None:
    first, second = await two_logins(steps, account, account)

    assert (await auth_app.verify_otp(first.temporary, second.code)).status_code == 400

    assert (await attempts(sql, first), await attempts(sql, second)) == (1, 0)
    for login in (first, second):
        pair(await auth_app.verify_otp(login.temporary, login.code))


async def test_my_code_does_not_open_the_login_of_somebody_else(
    auth_app: AuthApp, account: AccountChanged, accounts: Accounts, steps: Steps
) -> None:
    mine, theirs = await two_logins(steps, account, await accounts.new(is_2fa=True))

    assert (await auth_app.verify_otp(theirs.temporary, mine.code)).status_code == 400

    access: Sequence[str] = [
        pair(await auth_app.verify_otp(login.temporary, login.code)).access for login in (mine, theirs)
    ]
    subjects = [jwt.decode(token, options={"verify_signature": False})["sub"] for token in access]
    assert subjects[0] == str(account.account_id) != subjects[1]


async def test_what_is_stored_of_a_code_is_worth_nothing_in_another_challenge(
    auth_app: AuthApp, account: AccountChanged, accounts: Accounts, steps: Steps, sql: asyncpg.Connection
) -> None:
    """Who could write to the table could else put the code of a login of their own into that of somebody else."""
    mine, theirs = await two_logins(steps, account, await accounts.new(is_2fa=True))
    copy = "UPDATE challenges SET code_mac = (SELECT code_mac FROM challenges WHERE id = $1) WHERE id = $2"
    await sql.execute(copy, challenge_of(mine), challenge_of(theirs))

    assert (await auth_app.verify_otp(theirs.temporary, mine.code)).status_code == 400
