"""S55: a trusted device skips the second factor of a login, and nothing else.

Its time and number, and how its owner ends it: tests/integration/auth/test_trusted_devices.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from services.auth.login.trusted_devices import TrustedDevices
from shared.messaging.memory import MemoryBus
from tests.asking import problem
from tests.auth_steps import Pair, pair
from tests.builders import OTHER_PASSWORD, PASSWORD, registered
from tests.composed import (
    AUTH,
    USERS,
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    bearer,
    running_auth,
    running_users,
    users_settings,
)
from tests.factor_steps import App, FactorSteps
from tests.integration.auth.conftest import accounts, clock, factors
from tests.polling import eventually
from tests.security.somebody import password_accepted
from tests.servers.databases import Databases

__all__ = ("accounts", "clock", "factors")

STOLEN_FROM_NOBODY = "A" * 43
PATCHES: dict[str, dict[str, object]] = {
    "another address": {"email": "new.one@example.org"},
    "mailed codes": {"is_2fa": True},
}


@dataclass(frozen=True, kw_only=True)
class Person:
    """`device`: the token of a device that is trusted. `tokens`: of the session that began there with both factors."""

    username: str
    tokens: Pair
    app: App
    device: str


@pytest.fixture
async def users_app(
    factors: FactorSteps, databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str
) -> AsyncIterator[UsersApp]:
    """A new address counts at once."""
    _ = factors  # the clock stops before the first account
    settings = users_settings(databases, keys, jwks_url, email_verification="off")
    async with running_users(settings, keys, bus) as app:
        yield app


async def new_person(auth: AuthApp, users: UsersApp, factors: FactorSteps) -> Person:
    username = (await registered(users.parts)).username
    app = await factors.begin_app(pair(await password_accepted(auth, username)))
    confirmed = await factors.confirm(app, await app.code(-1))  # no time passes: users has a clock of its own
    assert confirmed.status_code == 200
    asked = (await auth.log_in(username)).json()
    body = {"otp": await app.code(), "remember_device": True}
    answer = await factors.post("verify-totp", asked["temporary_token"], **body)
    return Person(username=username, tokens=pair(answer), app=app, device=answer.json()["device_token"])


@pytest.fixture
async def person(factors: FactorSteps, auth_app: AuthApp, users_app: UsersApp) -> Person:
    return await new_person(auth_app, users_app, factors)


async def log_in(auth: AuthApp, username: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    body = {"username": username, "password": password, **more}
    return await auth.http.post(f"{AUTH}/token", json=body)


async def is_trusted(auth: AuthApp, username: str, device: str, password: str = PASSWORD) -> bool:
    answer = await log_in(auth, username, password, device_token=device)
    assert answer.status_code == 200, answer.text
    return "access_token" in answer.json()


def told(answer: httpx.Response) -> tuple[Any, ...]:
    return answer.status_code, answer.content, {**answer.headers, "x-request-id": ""}


async def test_without_the_password_a_device_is_not_told_from_none(
    person: Person, auth_app: AuthApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor in time: it is looked for after the password was right, and not before."""
    looked_for: list[str] = []
    knows = TrustedDevices.knows

    async def seen(devices: TrustedDevices, identity: Any, token: str, client: Any) -> bool:
        looked_for.append(token)
        return await knows(devices, identity, token, client)

    monkeypatch.setattr(TrustedDevices, "knows", seen)
    answers = [
        await log_in(auth_app, name, OTHER_PASSWORD, **more)
        for name in (person.username, "nobody")
        for more in ({}, {"device_token": person.device}, {"device_token": STOLEN_FROM_NOBODY})
    ]

    assert answers[0].status_code == 400
    assert all(told(answer) == told(answers[0]) for answer in answers)
    assert not looked_for
    assert await is_trusted(auth_app, person.username, person.device)
    assert looked_for == [person.device]


async def test_a_device_is_trusted_by_its_own_account_alone(
    person: Person, auth_app: AuthApp, users_app: UsersApp, factors: FactorSteps
) -> None:
    other = await new_person(auth_app, users_app, factors)

    assert not await is_trusted(auth_app, other.username, person.device)
    assert not await is_trusted(auth_app, person.username, STOLEN_FROM_NOBODY)
    assert await is_trusted(auth_app, person.username, person.device)


async def test_its_session_is_of_one_factor_wherever_two_are_asked_for(
    person: Person, auth_app: AuthApp, factors: FactorSteps
) -> None:
    begun = pair(await log_in(auth_app, person.username, device_token=person.device))

    for tokens in (begun, pair(await auth_app.refresh(begun.refresh))):
        headers = bearer(tokens.access)
        assert (await auth_app.http.get(f"{AUTH}/forward/acr/1", headers=headers)).status_code == 204
        forwarded = await auth_app.http.get(f"{AUTH}/forward/acr/2", headers=headers)
        problem(forwarded, 401, "insufficient_user_authentication")
        for path in ("factors/totp", "factors/recovery-codes", "factors/passkeys/options"):
            problem(await factors.post(path, tokens.access), 403, "second_factor_required")
        gone = await auth_app.http.delete(f"{AUTH}/factors/totp/{person.app.id}", headers=headers)
        problem(gone, 403, "second_factor_required")
        asked = await factors.post("step-up", tokens.access, acr=2)
        assert asked.json()["methods"] == ["totp", "recovery"]


async def test_its_session_changes_nothing_that_guards_the_account(
    person: Person, auth_app: AuthApp, users_app: UsersApp
) -> None:
    """A thief with the device and the password would take the account, or turn its second factor off."""
    headers = bearer(pair(await log_in(auth_app, person.username, device_token=person.device)).access)
    passwords = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD, "current_password": PASSWORD}

    async def known_to_users() -> bool:
        me = await users_app.http.get(f"{USERS}/me", headers=headers)
        return me.status_code == 200 and "totp" in me.json()["second_factors"]

    assert await eventually(known_to_users)
    for method, path, body in (
        *(("PATCH", "/", change) for change in PATCHES.values()),
        ("POST", "/change-password", passwords),
        ("DELETE", "/", None),
    ):
        answer = await users_app.http.request(method, f"{USERS}{path}", headers=headers, json=body)
        problem(answer, 403, "second_factor_required")


@pytest.mark.parametrize("change", ["another password", *PATCHES])
async def test_a_change_of_the_account_ends_its_devices(
    person: Person, auth_app: AuthApp, users_app: UsersApp, change: str
) -> None:
    headers = bearer(person.tokens.access)
    password = PASSWORD if change in PATCHES else OTHER_PASSWORD
    if change in PATCHES:
        answer = await users_app.http.patch(f"{USERS}/", headers=headers, json=PATCHES[change])
    else:
        body = {"password": password, "confirm_password": password, "current_password": PASSWORD}
        answer = await users_app.http.post(f"{USERS}/change-password", headers=headers, json=body)
    assert answer.status_code == 200, answer.text

    async def not_trusted() -> bool:
        answer = await log_in(auth_app, person.username, password, device_token=person.device)
        return answer.status_code == 200 and "access_token" not in answer.json()

    assert await eventually(not_trusted)


async def test_where_no_device_is_remembered_none_is_trusted_either(
    databases: Databases, keys: Keys, bus: MemoryBus, person: Person
) -> None:
    async with running_auth(auth_settings(databases, keys, trusted_device_lifetime=0), bus) as auth:
        assert not await is_trusted(auth, person.username, person.device)
        asked = (await log_in(auth, person.username)).json()
        body = {"otp": await person.app.code(1), "remember_device": True}
        answer = await FactorSteps(auth, person.app.clock).post("verify-totp", asked["temporary_token"], **body)

    assert answer.status_code == 200
    assert "device_token" not in answer.json()
