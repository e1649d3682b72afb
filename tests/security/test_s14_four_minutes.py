"""S14: a code is valid at 3:59 and refused at 4:00, by the database's clock and no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import jwt
import pytest

from tests.auth_steps import Accounts, Login, Steps, pair
from tests.composed import AuthApp
from tests.database_clock import DatabaseClock
from tests.forging import Signer
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts, clock, sql, steps
from tests.security.replica import replica

__all__ = ("accounts", "clock", "replica", "sql", "steps")

LIFETIME = 240


@pytest.fixture
async def login(clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, steps: Steps) -> Login:
    """While the database's clock stands still."""
    return await steps.begin(await accounts.new(is_2fa=True))


async def test_a_code_is_valid_one_second_before_its_end(clock: DatabaseClock, replica: AuthApp, login: Login) -> None:
    await clock.forward(LIFETIME - 1)

    pair(await replica.verify_otp(login.temporary, login.code))


async def test_a_code_is_refused_from_its_last_moment_on(
    clock: DatabaseClock, auth_app: AuthApp, replica: AuthApp, login: Login, sql: asyncpg.Connection
) -> None:
    await clock.forward(LIFETIME)

    for auth in (auth_app, replica):
        refused = await auth.verify_otp(login.temporary, login.code)
        assert (refused.status_code, refused.json()["code"]) == (400, "otp_not_valid")
        assert (await auth.challenge(login.temporary)).status_code == 401
        assert (await auth.resend_otp(login.temporary)).status_code == 401
    assert await sql.fetchval("SELECT attempts FROM challenges") == 0


async def test_a_code_that_was_asked_for_in_the_last_second_ends_with_the_challenge(
    clock: DatabaseClock, auth_app: AuthApp, login: Login, inbox: Inbox
) -> None:
    await clock.forward(LIFETIME - 1)
    assert (await auth_app.resend_otp(login.temporary)).status_code == 202
    [email] = inbox.codes
    new = await inbox.code_for(email, 2)
    await clock.forward(1)

    assert (await auth_app.verify_otp(login.temporary, new)).status_code == 400


async def test_the_token_and_the_order_for_the_mail_say_the_same_end(
    clock: DatabaseClock, login: Login, inbox: Inbox, sql: asyncpg.Connection
) -> None:
    ends = await sql.fetchval("SELECT expires_at FROM challenges")

    claims = jwt.decode(login.temporary, options={"verify_signature": False})
    [[request]] = inbox.requests.values()
    assert claims["exp"] - claims["iat"] == LIFETIME
    assert datetime.fromtimestamp(claims["exp"], UTC) == request.expires_at == ends
    assert request.expires_at - request.requested_at == timedelta(seconds=LIFETIME)


async def test_a_process_whose_clock_is_minutes_ahead_still_lets_in(
    clock: DatabaseClock, auth_app: AuthApp, login: Login, forger: Signer
) -> None:
    """Its own clock says that the temporary token has ended; the database says that the challenge has not."""
    claims = jwt.decode(login.temporary, options={"verify_signature": False})
    aged = {name: claims[name] - 2 * LIFETIME for name in ("iat", "exp")}
    token = forger.token(claims | aged, jwt.get_unverified_header(login.temporary))
    await clock.forward(LIFETIME - 1)

    pair(await auth_app.verify_otp(token, login.code))


@pytest.mark.parametrize(("passed", "status"), [(LIFETIME - 60, 200), (LIFETIME, 400)])
async def test_it_is_so_on_the_clock_that_the_database_really_has(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection, passed: int, status: int
) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))
    await sql.execute("UPDATE challenges SET expires_at = expires_at - $1::interval", timedelta(seconds=passed))

    assert (await auth_app.verify_otp(login.temporary, login.code)).status_code == status
