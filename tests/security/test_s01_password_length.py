"""S1: at least 8 characters, up to 128; a password counts whole, and one above the cap is never hashed."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import httpx
import pytest

from services.users.problems import AccountNotValid, PasswordTooWeak
from tests.builders import PASSWORD, administration, registration
from tests.composed import USERS, AuthApp, UsersApp
from tests.security.somebody import password_accepted, register

CAP = 128
FLOOR = "Password must be at least 8 characters long"


async def change(users: UsersApp, account: str, password: str) -> httpx.Response:
    body = {"password": password, "confirm_password": password}
    return await users.http.post(f"{USERS}/change-password", headers=users.as_(UUID(account)), json=body)


# The last is four letters, each typed as two characters.
@pytest.mark.parametrize("short", ["horse77", "e\u0301" * 4, "\ufdfa" * 7], ids=ascii)
async def test_below_the_floor_a_password_is_refused_with_the_reason(users_app: UsersApp, short: str) -> None:
    account = await register(users_app)

    for answer in (
        await users_app.http.post(f"{USERS}/registration", json=registration(password=short)),
        await change(users_app, account["id"], short),
    ):
        assert (answer.status_code, answer.json()["detail"]) == (400, FLOOR)


async def test_at_the_floor_a_password_is_accepted(users_app: UsersApp) -> None:
    account = await register(users_app, password="horse777")

    assert (await change(users_app, account["id"], "777horse")).status_code == 200


async def test_above_the_cap_nothing_is_hashed(
    users_app: UsersApp, auth_app: AuthApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await register(users_app)

    async def never(*_arguments: object) -> None:
        raise AssertionError("hashed")

    for app in (users_app, auth_app):
        monkeypatch.setattr(app.parts.passwords, "_run", never)
    for answer in (
        await users_app.http.post(f"{USERS}/registration", json=registration(password="p" * (CAP + 1))),
        await change(users_app, account["id"], "p" * (CAP + 1)),
        await auth_app.log_in(account["username"], "p" * (CAP + 1)),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "password")


@pytest.mark.parametrize("whole", ["a" * 64, "a" * 72 + "tail", "a" * CAP, "\U0001f40e" * CAP], ids=len)
async def test_up_to_the_cap_a_password_counts_whole(users_app: UsersApp, auth_app: AuthApp, whole: str) -> None:
    account = await register(users_app, password=whole)
    await password_accepted(auth_app, account["username"], whole)

    for cut in (whole[:-1], whole[: len(whole) // 2], whole.encode()[:72].decode(errors="ignore")):
        assert (await auth_app.log_in(account["username"], cut)).status_code == (200 if cut == whole else 400)


async def test_an_operator_s_own_account_has_the_same_bounds(users_app: UsersApp) -> None:
    async def create(password: str, min_length: int = 8) -> None:
        settings = users_app.parts.settings.model_copy(update={"password_min_length": min_length})
        await administration(replace(users_app.parts, settings=settings)).create(
            email="rs@example.org", password=password, name="Robert",
            lastname="Smith", is_2fa=True, is_admin=True,
        )  # fmt: skip

    with pytest.raises(AccountNotValid):
        await create("p" * (CAP + 1))
    for password, floor in (("horse77", 8), (PASSWORD, 64)):
        with pytest.raises(PasswordTooWeak):
            await create(password, floor)
    await create("p" * CAP)
