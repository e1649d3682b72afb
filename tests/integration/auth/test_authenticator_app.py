"""An authenticator app as second factor: its codes by the database's clock, each used once."""

from __future__ import annotations

import asyncpg
import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from shared.messaging.events import AccountChanged
from shared.sealing import Sealer
from tests.auth_steps import pair, wrong
from tests.composed import AUTH, AuthApp, bearer
from tests.database_clock import DatabaseClock
from tests.factor_steps import STEP, FactorSteps, claims
from tests.inbox import Inbox


async def test_a_login_with_an_app_asks_for_its_code_and_mails_none(
    account: AccountChanged, factors: FactorSteps, inbox: Inbox
) -> None:
    app = await factors.app(account)

    asked = await factors.begin(account)
    tokens = pair(await factors.post("verify-totp", asked["temporary_token"], otp=await app.next_code()))

    assert (asked["methods"], asked["sent"]) == (["totp", "recovery"], False)
    assert (claims(tokens.access)["amr"], claims(tokens.access)["acr"]) == (["pwd", "otp", "mfa"], "urn:login2fa:acr:2")
    assert not inbox.codes[account.email]


async def test_an_app_is_no_factor_before_a_code_has_confirmed_it(
    account: AccountChanged, auth_app: AuthApp, factors: FactorSteps
) -> None:
    owner = pair(await auth_app.log_in(account.username))
    app = await factors.begin_app(owner)

    assert (await factors.confirm(app, wrong(await app.code()))).json()["code"] == "otp_not_valid"
    assert pair(await auth_app.log_in(account.username))
    assert (await factors.confirm(app, await app.code())).status_code == 200
    assert (await factors.begin(account))["otp_required"]


async def test_the_confirming_code_does_not_log_in_as_well(account: AccountChanged, factors: FactorSteps) -> None:
    app = await factors.app(account)

    answer = await factors.post("verify-totp", await factors.temporary(account), otp=await app.code())

    assert (answer.status_code, answer.json()["code"]) == (400, "otp_not_valid")


async def test_no_code_of_a_step_that_is_used_or_older_logs_in(
    account: AccountChanged, clock: DatabaseClock, factors: FactorSteps
) -> None:
    app = await factors.app(account)
    await clock.forward(STEP)
    before, used = await app.code(), await app.code(later=1)
    pair(await factors.post("verify-totp", await factors.temporary(account), otp=used))

    for code in (used, before):
        answer = await factors.post("verify-totp", await factors.temporary(account), otp=code)
        assert answer.json()["code"] == "otp_not_valid"


@pytest.mark.parametrize(("later", "passes"), [(-2, False), (-1, True), (1, True), (2, False)])
async def test_a_code_passes_one_step_early_or_late(
    account: AccountChanged, clock: DatabaseClock, factors: FactorSteps, later: int, passes: bool
) -> None:
    app = await factors.app(account)
    await clock.forward(10 * STEP)

    answer = await factors.post("verify-totp", await factors.temporary(account), otp=await app.code(later))

    assert answer.is_success == passes


async def test_a_code_of_an_app_whose_sealing_key_is_gone_is_a_wrong_one_and_the_log_tells_what_to_do(
    account: AccountChanged, factors: FactorSteps, sql: asyncpg.Connection
) -> None:
    """It was a 500: nothing said which key was missing, and the code was not counted."""
    app = await factors.app(account)
    lost = Sealer([Fernet.generate_key().decode()]).seal(app.secret, f"{app.id}:totp")
    await sql.execute("UPDATE auth.totp SET sealed_secret = $1", lost)
    temporary = await factors.temporary(account)

    with capture_logs() as lines:
        answer = await factors.post("verify-totp", temporary, otp=await app.next_code())

    assert (answer.status_code, answer.json()["code"]) == (400, "otp_not_valid")
    (error,) = [line for line in lines if line["log_level"] == "error"]
    assert app.id in error["row"]
    assert "FACTOR_SEALING_KEYS" in error["event"]
    assert "reset-factors" in error["event"]
    assert not {app.secret, lost} & set(map(str, error.values()))
    assert await sql.fetchval("SELECT failures FROM auth.code_failures") == 1
    recovered = await factors.post("verify-recovery", temporary, code=app.recovery_codes[0])
    assert recovered.status_code == 200


async def test_five_wrong_codes_end_the_confirmation(
    account: AccountChanged, auth_app: AuthApp, factors: FactorSteps
) -> None:
    app = await factors.begin_app(pair(await auth_app.log_in(account.username)))
    for number in range(1, 6):
        assert (await factors.confirm(app, wrong(await app.code(), number))).status_code == 400

    assert (await factors.confirm(app, await app.code())).status_code == 404


async def test_an_app_must_be_confirmed_within_ten_minutes(
    account: AccountChanged, auth_app: AuthApp, clock: DatabaseClock, factors: FactorSteps
) -> None:
    app = await factors.begin_app(pair(await auth_app.log_in(account.username)))
    await clock.forward(600)

    assert (await factors.confirm(app, await app.code())).status_code == 404


async def test_a_new_app_replaces_the_old_one(account: AccountChanged, factors: FactorSteps) -> None:
    old = await factors.app(account)
    owner = await factors.log_in(account, old)
    new = await factors.begin_app(owner)
    assert (await factors.confirm(new, await new.code())).status_code == 200

    for app, status in ((old, 400), (new, 200)):
        answer = await factors.post("verify-totp", await factors.temporary(account), otp=await app.next_code())
        assert answer.status_code == status


async def test_a_change_of_factors_ends_the_other_sessions_and_open_logins(
    account: AccountChanged, auth_app: AuthApp, factors: FactorSteps
) -> None:
    other = pair(await auth_app.log_in(account.username))
    app = await factors.app(account)
    under_way = await factors.temporary(account)
    owner = await factors.log_in(account, app)
    new = await factors.begin_app(owner)
    await factors.confirm(new, await new.code())

    assert await auth_app.verify_token(other.access) == 401
    assert await auth_app.verify_token(owner.access) == 200
    late = await factors.post("verify-totp", under_way, otp=await new.next_code())
    assert late.json()["code"] == "otp_not_valid"


async def test_a_session_without_the_second_factor_changes_no_factor(
    account: AccountChanged, auth_app: AuthApp, factors: FactorSteps
) -> None:
    app = await factors.app(account)

    refused = await factors.post("factors/totp", app.owner.access)

    assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_required")
    mine = await auth_app.http.get(f"{AUTH}/factors", headers=bearer(app.owner.access))
    assert mine.json()["totp"]["id"] == app.id


async def test_a_login_that_is_too_old_changes_no_factor(
    account: AccountChanged, auth_app: AuthApp, clock: DatabaseClock, factors: FactorSteps
) -> None:
    await clock.forward(-auth_app.parts.settings.recent_login - 1)
    owner = pair(await auth_app.log_in(account.username))

    answer = await factors.post("factors/totp", owner.access)

    assert (answer.status_code, answer.json()["code"]) == (403, "login_too_old")


async def test_removing_the_only_factor_makes_the_password_enough_again(
    account: AccountChanged, auth_app: AuthApp, factors: FactorSteps
) -> None:
    app = await factors.app(account)
    owner = await factors.log_in(account, app)

    gone = await auth_app.http.delete(f"{AUTH}/factors/totp/{app.id}", headers=bearer(owner.access))

    assert gone.status_code == 204
    assert pair(await auth_app.log_in(account.username))
    left = (await auth_app.http.get(f"{AUTH}/factors", headers=bearer(owner.access))).json()
    assert (left["totp"], left["recovery_codes"]) == (None, None)
