"""S55: a step-up raises the session that asked for it, and nothing else; nothing but a step-up raises one.

What a good one gives, and what becomes of the refresh token: tests/integration/auth/test_step_up.py. Whatever a gateway
demands of a login: S56.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import httpx

from login2fa_testing.software_passkey import SoftwarePasskey
from shared.messaging.events import AccountChanged
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, Steps, pair
from tests.builders import PASSWORD
from tests.composed import AUTH, AuthApp, bearer
from tests.database_clock import DatabaseClock
from tests.factor_steps import App, FactorSteps, claims
from tests.integration.auth.conftest import account, accounts, app, clock, factors, passkeys, sql, steps
from tests.passkey_steps import ORIGIN, PasskeySteps

__all__ = ("account", "accounts", "app", "clock", "factors", "passkeys", "sql", "steps")

DAY = 86400
MAX_LIFETIME, REFRESH_LIFETIME = 90 * DAY, 30 * DAY


async def begin(factors: FactorSteps, owner: Pair, **body: Any) -> str:
    answer = await factors.post("step-up", owner.access, **body)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["temporary_token"]
    return token


async def complete(factors: FactorSteps, app: App, temporary: str) -> httpx.Response:
    return await factors.post("verify-totp", temporary, otp=await app.next_code())


async def test_a_step_up_begins_no_session(app: App, factors: FactorSteps, sql: asyncpg.Connection) -> None:
    """Neither does one whose session ended meanwhile: tests/integration/auth/test_step_up.py."""
    before = await sql.fetch("SELECT id FROM sessions ORDER BY id")

    stepped = pair(await complete(factors, app, await begin(factors, app.owner, acr=2)))

    assert await sql.fetch("SELECT id FROM sessions ORDER BY id") == before
    assert claims(stepped.access)["sid"] == claims(app.owner.access)["sid"]


async def test_a_login_raises_no_other_session_and_its_pair_is_of_a_new_one(
    account: AccountChanged, app: App, auth_app: AuthApp, factors: FactorSteps
) -> None:
    new = await factors.log_in(account, app)
    old = pair(await auth_app.refresh(app.owner.refresh))

    assert claims(new.access)["sid"] != claims(old.access)["sid"]
    assert [claims(tokens.access)["acr"][-1] for tokens in (new, old)] == ["2", "1"]
    answer = await auth_app.http.get(f"{AUTH}/forward/acr/2", headers=bearer(old.access))
    problem(answer, 401, "insufficient_user_authentication")


async def test_a_password_completes_nothing_that_asks_for_a_second_factor(
    account: AccountChanged, accounts: Accounts, app: App, auth_app: AuthApp, factors: FactorSteps, steps: Steps
) -> None:
    """Neither a login nor a step-up, whichever factor the account has."""
    by_mail = await accounts.new(is_2fa=True)
    mailed = await steps.begin(by_mail)
    asking = [await factors.temporary(account), mailed.temporary, await begin(factors, app.owner, acr=2)]
    asking.append(await begin(factors, app.owner))

    for temporary in asking:
        answer = await factors.post("verify-password", temporary, password=PASSWORD)
        problem(answer, 401, "invalid_token")
    assert pair(await auth_app.verify_otp(mailed.temporary, mailed.code))


async def test_a_step_up_that_asks_for_the_password_takes_nothing_else_and_adds_no_factor(
    account: AccountChanged, auth_app: AuthApp, factors: FactorSteps
) -> None:
    owner = pair(await auth_app.log_in(account.username))
    temporary = await begin(factors, owner)

    for path, body in (("verify-otp", {"otp": "000000"}), ("verify-totp", {"otp": "000000"})):
        problem(await factors.post(path, temporary, **body), 400, "otp_not_valid")
    problem(await factors.post("challenge/email", temporary), 409, "method_not_offered")
    new = pair(await factors.post("verify-password", temporary, password=PASSWORD))
    assert claims(new.access)["acr"] == "urn:login2fa:acr:1"
    problem(await factors.post("verify-password", temporary, password=PASSWORD), 401, "invalid_token")


async def test_a_password_of_a_step_up_is_under_the_limits_of_a_login(
    account: AccountChanged, auth_app: AuthApp, factors: FactorSteps
) -> None:
    """A stolen session is no place to guess it."""
    temporary = await begin(factors, pair(await auth_app.log_in(account.username)))
    statuses = [
        (await factors.post("verify-password", temporary, password="wrong")).status_code
        for _ in range(auth_app.parts.settings.throttle_free + 1)
    ]

    assert statuses[-2:] == [400, 429]
    assert (await auth_app.log_in(account.username)).status_code == 429


async def test_a_session_that_began_without_a_password_steps_up_by_passkey_alone(
    account: AccountChanged, app: App, factors: FactorSteps, passkeys: PasskeySteps
) -> None:
    """A code would add a second factor to none."""
    passkey = SoftwarePasskey(ORIGIN)
    enrolled = await passkeys.enrol(await factors.log_in(account, app), passkey)
    assert enrolled.status_code == 201, enrolled.text
    owner = pair(await passkeys.log_in(passkey))

    for body in ({}, {"acr": 2}, {"acr": 3}):
        asked = (await factors.post("step-up", owner.access, **body)).json()
        assert asked["methods"] == ["passkey"]
        problem(await complete(factors, app, asked["temporary_token"]), 400, "otp_not_valid")
    stepped = pair(await passkeys.verify(asked["temporary_token"], passkey))
    assert claims(stepped.access)["amr"] == ["pop", "user", "mfa"]


async def test_a_code_does_not_keep_the_class_of_a_passkey(
    account: AccountChanged, app: App, factors: FactorSteps, passkeys: PasskeySteps
) -> None:
    """The newer time of the login is that of the newer proof."""
    passkey = SoftwarePasskey(ORIGIN)
    await passkeys.enrol(await factors.log_in(account, app), passkey)
    owner = pair(await passkeys.verify(await factors.temporary(account), passkey))
    assert claims(owner.access)["acr"] == "urn:login2fa:acr:3"

    stepped = pair(await complete(factors, app, await begin(factors, owner)))

    assert claims(stepped.access)["acr"] == "urn:login2fa:acr:2"


async def test_the_longest_life_of_a_session_does_not_move(
    app: App, auth_app: AuthApp, clock: DatabaseClock, factors: FactorSteps
) -> None:
    tokens = app.owner
    for _ in range(3):
        await clock.forward(REFRESH_LIFETIME - DAY)
        tokens = pair(await auth_app.refresh(tokens.refresh))
        tokens = pair(await complete(factors, app, await begin(factors, tokens, acr=2)))
    left = MAX_LIFETIME - (claims(tokens.access)["auth_time"] - claims(app.owner.access)["auth_time"])

    await clock.forward(left - 1)
    assert await auth_app.verify_token(tokens.access) == 200
    await clock.forward(1)
    assert await auth_app.verify_token(tokens.access) == 401
    problem(await auth_app.refresh(tokens.refresh), 401, "invalid_refresh_token")
