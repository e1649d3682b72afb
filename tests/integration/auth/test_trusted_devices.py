"""Trusted devices: they log in without the second factor, until something of the account changes."""

from __future__ import annotations

import asyncpg
import pytest

from shared.messaging.events import AccountChanged
from tests.auth_steps import Accounts, pair
from tests.builders import PASSWORD
from tests.composed import AUTH, AuthApp, bearer
from tests.database_clock import DatabaseClock
from tests.factor_steps import App, FactorSteps, claims


async def remembered(account: AccountChanged, app: App, factors: FactorSteps) -> str:
    answer = await factors.post(
        "verify-totp", await factors.temporary(account), otp=await app.next_code(), remember_device=True
    )
    token: str = answer.json()["device_token"]
    return token


async def log_in(auth_app: AuthApp, account: AccountChanged, device: str) -> bool:
    """Whether the password was enough."""
    body = {"username": account.username, "password": PASSWORD, "device_token": device}
    answer = await auth_app.http.post(f"{AUTH}/token", json=body)
    assert answer.status_code == 200, answer.text
    return not answer.json()["otp_required"]


async def test_a_remembered_device_logs_in_by_password_and_claims_no_second_factor(
    account: AccountChanged, app: App, auth_app: AuthApp, factors: FactorSteps
) -> None:
    device = await remembered(account, app, factors)

    body = {"username": account.username, "password": PASSWORD, "device_token": device}
    tokens = pair(await auth_app.http.post(f"{AUTH}/token", json=body))

    assert (claims(tokens.access)["amr"], claims(tokens.access)["acr"]) == (["pwd"], "urn:login2fa:acr:1")


async def test_a_device_is_trusted_for_a_fixed_time_however_often_it_is_used(
    account: AccountChanged, app: App, auth_app: AuthApp, clock: DatabaseClock, factors: FactorSteps
) -> None:
    device = await remembered(account, app, factors)
    lifetime = auth_app.parts.settings.trusted_device_lifetime

    for seconds, passes in ((lifetime / 2, True), (lifetime / 2 - 1, True), (1, False)):
        await clock.forward(seconds)
        assert await log_in(auth_app, account, device) == passes


@pytest.mark.parametrize("change", [{"session_epoch": 1}, {"session_epoch": 2, "email": "new@test.com"}])
async def test_a_change_of_the_account_ends_its_devices(
    account: AccountChanged,
    accounts: Accounts,
    app: App,
    auth_app: AuthApp,
    factors: FactorSteps,
    change: dict[str, object],
) -> None:
    device = await remembered(account, app, factors)
    changed = await accounts.change(account, **change)

    assert not await log_in(auth_app, changed, device)


async def test_a_change_of_factors_ends_the_devices(
    account: AccountChanged, app: App, auth_app: AuthApp, factors: FactorSteps
) -> None:
    device = await remembered(account, app, factors)
    owner = await factors.log_in(account, app)
    new = await factors.begin_app(owner)
    await factors.confirm(new, await new.code())

    assert not await log_in(auth_app, account, device)


async def test_an_owner_lists_and_ends_devices(
    account: AccountChanged, app: App, auth_app: AuthApp, factors: FactorSteps
) -> None:
    first, second = await remembered(account, app, factors), await remembered(account, app, factors)
    owner = bearer((await factors.log_in(account, app)).access)
    listed = (await auth_app.http.get(f"{AUTH}/devices", headers=owner)).json()
    assert len(listed) == 2

    newest = listed[0]["id"]
    assert (await auth_app.http.delete(f"{AUTH}/devices/{newest}", headers=owner)).status_code == 204
    assert (await auth_app.http.delete(f"{AUTH}/devices/{newest}", headers=owner)).status_code == 404
    assert [await log_in(auth_app, account, device) for device in (first, second)] == [True, False]
    assert (await auth_app.http.delete(f"{AUTH}/devices", headers=owner)).status_code == 204
    assert not await log_in(auth_app, account, first)


async def test_the_eleventh_device_takes_the_place_of_the_first(
    account: AccountChanged, app: App, auth_app: AuthApp, factors: FactorSteps, sql: asyncpg.Connection
) -> None:
    devices = [await remembered(account, app, factors) for _ in range(11)]

    assert await sql.fetchval("SELECT count(*) FROM trusted_devices") == 10
    assert [await log_in(auth_app, account, device) for device in (devices[0], devices[1])] == [False, True]
