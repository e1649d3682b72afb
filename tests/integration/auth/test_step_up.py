"""A session authenticates again, and gets a pair that says so."""

from __future__ import annotations

import asyncpg
import pytest

from tests.auth_steps import Accounts, Pair, pair
from tests.builders import PASSWORD
from tests.composed import AUTH, AuthApp, bearer
from tests.database_clock import DatabaseClock
from tests.factor_steps import STEP, App, FactorSteps, claims


async def stepped_up(app: App, factors: FactorSteps, owner: Pair) -> Pair:
    asked = await factors.post("step-up", owner.access, acr=2)
    assert asked.status_code == 200, asked.text
    return pair(await factors.post("verify-totp", asked.json()["temporary_token"], otp=await app.next_code()))


async def test_a_session_of_one_factor_steps_up_to_two(app: App, factors: FactorSteps) -> None:
    before = claims(app.owner.access)
    after = claims((await stepped_up(app, factors, app.owner)).access)

    assert (before["acr"], after["acr"]) == ("urn:login2fa:acr:1", "urn:login2fa:acr:2")
    assert after["sid"] == before["sid"]
    assert after["auth_time"] == before["auth_time"] + STEP
    assert after["amr"] == ["pwd", "otp", "mfa"]


async def test_the_old_refresh_token_is_used_and_gives_the_new_pair_to_nobody(
    app: App, auth_app: AuthApp, clock: DatabaseClock, factors: FactorSteps
) -> None:
    """Within the grace it may come from another tab, which ends nothing; beyond it, from a thief."""
    new = await stepped_up(app, factors, app.owner)

    assert (await auth_app.refresh(app.owner.refresh)).status_code == 401
    new = pair(await auth_app.refresh(new.refresh))
    await clock.forward(auth_app.parts.settings.refresh_grace + 1)
    assert (await auth_app.refresh(app.owner.refresh)).status_code == 401
    assert (await auth_app.refresh(new.refresh)).status_code == 401


async def test_a_refresh_that_is_repeated_within_the_grace_says_no_more_than_its_own_pair_did(
    app: App, auth_app: AuthApp, factors: FactorSteps
) -> None:
    code = await app.next_code()
    refreshed = pair(await auth_app.refresh(app.owner.refresh))
    asked = (await factors.post("step-up", refreshed.access, acr=2)).json()
    stepped = pair(await factors.post("verify-totp", asked["temporary_token"], otp=code))

    again = pair(await auth_app.refresh(app.owner.refresh))

    assert (again, claims(again.access)["amr"]) == (refreshed, ["pwd"])
    assert claims(stepped.access)["amr"] == ["pwd", "otp", "mfa"]


async def test_the_longest_life_of_a_session_counts_from_its_beginning(
    app: App, auth_app: AuthApp, clock: DatabaseClock, factors: FactorSteps
) -> None:
    owner, most = app.owner, auth_app.parts.settings.session_max_lifetime
    end = claims(owner.access)["auth_time"] + most
    for _ in range(3):
        await clock.forward(most // 3 - STEP)
        owner = pair(await auth_app.refresh(owner.refresh))

    new = await stepped_up(app, factors, owner)

    assert claims(new.refresh)["exp"] == claims(new.access)["exp"] == end
    await clock.forward(most)
    assert (await auth_app.refresh(new.refresh)).status_code == 401


async def test_an_account_without_a_second_factor_renews_its_login_by_password(
    clock: DatabaseClock, factors: FactorSteps, accounts: Accounts, auth_app: AuthApp
) -> None:
    account = await accounts.new()
    owner = pair(await auth_app.log_in(account.username))
    await clock.forward(3)

    asked = (await factors.post("step-up", owner.access)).json()
    assert asked["methods"] == ["password"]
    wrong = await factors.post("verify-password", asked["temporary_token"], password="wrong")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "incorrect_credentials")
    new = pair(await factors.post("verify-password", asked["temporary_token"], password=PASSWORD))

    assert claims(new.access)["auth_time"] == claims(owner.access)["auth_time"] + 3
    assert claims(new.access)["amr"] == ["pwd"]


@pytest.mark.parametrize("acr", [2, 3])
async def test_a_class_that_no_factor_gives_is_refused(
    factors: FactorSteps, accounts: Accounts, auth_app: AuthApp, acr: int
) -> None:
    owner = pair(await auth_app.log_in((await accounts.new()).username))

    answer = await factors.post("step-up", owner.access, acr=acr)

    assert (answer.status_code, answer.json()["code"]) == (409, "no_such_factor")


async def test_a_session_that_has_ended_does_not_step_up(app: App, auth_app: AuthApp, factors: FactorSteps) -> None:
    asked = (await factors.post("step-up", app.owner.access, acr=2)).json()
    await auth_app.http.post(f"{AUTH}/logout", headers=bearer(app.owner.access))

    answer = await factors.post("verify-totp", asked["temporary_token"], otp=await app.next_code())

    assert (answer.status_code, answer.json()["code"]) == (400, "otp_not_valid")


async def test_a_step_up_remembers_no_device(app: App, factors: FactorSteps) -> None:
    asked = (await factors.post("step-up", app.owner.access, acr=2)).json()

    answer = await factors.post(
        "verify-totp", asked["temporary_token"], otp=await app.next_code(), remember_device=True
    )

    assert "device_token" not in answer.json()


async def test_codes_that_are_off_do_not_keep_an_account_without_any_from_its_password(
    factors: FactorSteps, accounts: Accounts, auth_app: AuthApp, sql: asyncpg.Connection
) -> None:
    """They were turned off before its owner turned them off for good."""
    account = await accounts.new()
    owner = pair(await auth_app.log_in(account.username))
    most = auth_app.parts.settings.otp_wrong_in_a_row
    await sql.execute("INSERT INTO code_failures VALUES ($1, $2)", account.account_id, most)

    asked = (await factors.post("step-up", owner.access)).json()

    assert asked["methods"] == ["password"]
    assert (await auth_app.challenge(asked["temporary_token"])).json()["methods"] == ["password"]
    pair(await factors.post("verify-password", asked["temporary_token"], password=PASSWORD))
