"""S6: fields that are not the sender's to choose have no effect, in any body."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from shared.messaging.memory import MemoryBus
from shared.messaging.topology import ACCOUNT_CODES
from tests.account_codes import AccountCodes
from tests.auth_steps import wrong
from tests.builders import OTHER_PASSWORD, PASSWORD, registered, registration
from tests.composed import AUTH, USERS, AuthApp, Keys, UsersApp, bearer, running_users, users_settings
from tests.inbox import Inbox
from tests.security.doors import ACCESS, REFRESH
from tests.security.somebody import LoggedIn, password_accepted, register
from tests.servers.databases import Databases, connected

STRANGER = "01890a5d-ac96-774b-bcce-b302099a8050"
EXTRA: dict[str, Any] = {
    "id": STRANGER,
    "user_id": STRANGER,
    "sub": STRANGER,
    "is_admin": True,
    "is_active": False,
    "version": 99,
    "session_epoch": 7,
    "kept_session": STRANGER,
    "password_hash": "x",
    "email_key": "x",
    "email_verified_at": "2001-01-01T00:00:00Z",
    "email_verified": True,
    "pending_email": "mallory@example.org",
    "password_by_mail": True,
    "groups": ["staff"],
    "factors": ["totp"],
    "factors_version": 7,
    "second_factors": ["totp"],
    "purpose": "reset",
    "code_id": STRANGER,
    "account_id": STRANGER,
    "created_at": "2001-01-01T00:00:00Z",
    "auth_time": 4102444800,
    "scope": "admin",
    "__proto__": {"is_admin": True},
}
ADMINS_ONLY = ("is_admin", "is_active", "groups")
CHOSEN_BY_US = (
    *("id", *ADMINS_ONLY, "session_epoch", "kept_session", "email_key", "username_key"),
    *("email_verified_at", "pending_email", "password_by_mail", "factors", "factors_version"),
)
UNPROVED: dict[str, Any] = {
    "email_verified_at": None,
    "pending_email": None,
    "password_by_mail": False,
    "groups": [],
    "factors": [],
    "factors_version": 0,
}


@pytest.fixture
async def account_codes(bus: MemoryBus, keys: Keys) -> AccountCodes:
    codes = AccountCodes(keys.mailed_sealer)
    await bus.consume(ACCOUNT_CODES.queue, codes, concurrency=1)
    return codes


async def facts(databases: Databases, username: str) -> dict[str, Any]:
    columns = ", ".join((*CHOSEN_BY_US, "created_at"))
    async with connected(databases.users_url) as users:
        row: asyncpg.Record = await users.fetchrow(f"SELECT {columns} FROM accounts WHERE username = $1", username)
    return dict(row)


async def test_of_a_registration(users_app: UsersApp, databases: Databases) -> None:
    body = registration() | EXTRA
    assert (await users_app.http.post(f"{USERS}/registration", json=body)).status_code == 201

    made = await facts(databases, body["username"])

    assert str(made["id"]) != STRANGER
    assert (made["is_admin"], made["is_active"], made["session_epoch"], made["kept_session"]) == (False, True, 0, None)
    assert made["email_key"] == body["email"]
    assert made["created_at"].year > 2001
    assert {name: made[name] for name in UNPROVED} == UNPROVED


async def test_of_a_patch_or_a_change_of_password(users_app: UsersApp, databases: Databases) -> None:
    account, victim = await register(users_app), await register(users_app)
    before = [await facts(databases, each["username"]) for each in (account, victim)]
    headers = users_app.as_(UUID(account["id"]))
    harmless = {name: value for name, value in EXTRA.items() if name not in ADMINS_ONLY}
    harmless |= {"id": victim["id"], "user_id": victim["id"]}

    patched = await users_app.http.patch(f"{USERS}/", headers=headers, json={"name": "Robert"} | harmless)
    assert (patched.status_code, patched.json()["id"], patched.json()["name"]) == (200, account["id"], "Robert")
    assert [await facts(databases, each["username"]) for each in (account, victim)] == before

    body = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD} | EXTRA | {"user_id": victim["id"]}
    assert (await users_app.http.post(f"{USERS}/change-password", headers=headers, json=body)).status_code == 200
    mine, theirs = [await facts(databases, each["username"]) for each in (account, victim)]
    assert theirs == before[1]
    assert (mine["is_admin"], mine["is_active"], mine["session_epoch"]) == (False, True, 1)
    assert str(mine["kept_session"]) != STRANGER
    assert {name: mine[name] for name in UNPROVED} == UNPROVED


async def test_of_a_code_that_proves_an_address(
    users_app: UsersApp, databases: Databases, account_codes: AccountCodes
) -> None:
    account, victim = await register(users_app), await register(users_app)
    theirs = await facts(databases, victim["username"])
    code = await account_codes.code_for(account["email"], "verify")
    extra = EXTRA | {"user_id": victim["id"], "email": victim["email"]}

    headers = users_app.as_(UUID(account["id"]))
    assert (await users_app.http.post(f"{USERS}/verify-email", headers=headers, json={"code": code} | extra)).is_success

    mine = await facts(databases, account["username"])
    assert mine.pop("email_verified_at").year > 2001
    assert (mine["email_key"], mine["is_admin"], mine["pending_email"]) == (account["email"], False, None)
    assert await facts(databases, victim["username"]) == theirs


async def test_of_a_new_password_for_a_forgotten_one(
    users_app: UsersApp, databases: Databases, account_codes: AccountCodes
) -> None:
    account, victim = await register(users_app), await register(users_app)
    theirs = await facts(databases, victim["username"])
    extra = EXTRA | {"user_id": victim["id"], "email": victim["email"], "username": victim["username"]}
    asked = await users_app.http.post(f"{USERS}/password-reset", json=extra | {"email": account["email"]})
    code = await account_codes.code_for(account["email"], "reset")

    body = extra | {"reset_token": asked.json()["reset_token"], "code": code, "password": OTHER_PASSWORD}
    assert (await users_app.http.post(f"{USERS}/password-reset/confirm", json=body)).status_code == 204

    mine = await facts(databases, account["username"])
    assert (mine["is_admin"], mine["is_active"], mine["groups"], mine["session_epoch"]) == (False, True, [], 1)
    assert (mine["kept_session"], mine["email_key"], mine["pending_email"]) == (None, account["email"], None)
    assert await facts(databases, victim["username"]) == theirs


async def test_of_a_registration_that_waits_for_its_code(
    databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str, account_codes: AccountCodes
) -> None:
    settings = users_settings(databases, keys, jwks_url, registration="proven")
    async with running_users(settings, keys, bus) as users:
        new = registration()
        asked = (await users.http.post(f"{USERS}/registration", json=new | EXTRA)).json()
        code = await account_codes.code_for(new["email"], "register")
        extra = EXTRA | {"email": "mallory@example.org", "password": OTHER_PASSWORD, "is_2fa": True}
        body = extra | {"registration_token": asked["registration_token"], "code": code}
        assert (await users.http.post(f"{USERS}/registration/confirm", json=body)).status_code == 201

    made = await facts(databases, new["username"])
    assert made.pop("email_verified_at").year > 2001
    assert (made["is_admin"], made["is_active"], made["groups"], made["email_key"]) == (False, True, [], new["email"])


async def test_of_an_account_that_an_administrator_makes(users_app: UsersApp, databases: Databases) -> None:
    headers = users_app.as_((await registered(users_app.parts, is_admin=True)).id)
    new = registration()
    body = new | EXTRA | {"is_admin": False, "groups": ["guests"]}
    assert (await users_app.http.post(f"{USERS}/", headers=headers, json=body)).status_code == 201

    made = await facts(databases, new["username"])
    assert str(made["id"]) != STRANGER
    assert (made["is_admin"], made["is_active"]) == (False, True)
    assert {name: made[name] for name in UNPROVED} == UNPROVED | {"groups": ["guests"]}


@pytest.mark.parametrize("field", ADMINS_ONLY)
async def test_of_a_patch_with_what_only_admins_may_set(users_app: UsersApp, databases: Databases, field: str) -> None:
    """Refused whole: a person must not think that the rest was all that was asked."""
    account = await register(users_app)
    before = await facts(databases, account["username"])

    for value in (["staff"], []) if field == "groups" else (True, False):
        answer = await users_app.http.patch(
            f"{USERS}/", headers=users_app.as_(UUID(account["id"])), json={"name": "Robert", field: value}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "not_enough_permissions")
    assert await facts(databases, account["username"]) == before


async def test_of_a_login_a_code_or_a_refresh(
    auth_app: AuthApp, users_app: UsersApp, inbox: Inbox, person: LoggedIn
) -> None:
    account = await register(users_app, is_2fa=True)
    await password_accepted(auth_app, account["username"])
    body = {"username": account["username"], "password": PASSWORD, "is_2fa": False, "amr": ["pwd"]} | EXTRA
    begun = await auth_app.http.post(f"{AUTH}/token", json=body)
    assert "access_token" not in begun.json()

    code = await inbox.code_for(account["email"], 2)
    headers = bearer(begun.json()["temporary_token"])
    guess = {"otp": wrong(code), "code": code, "expected": wrong(code)} | EXTRA
    assert (await auth_app.http.post(f"{AUTH}/verify-otp", headers=headers, json=guess)).status_code == 400
    verified = await auth_app.http.post(f"{AUTH}/verify-otp", headers=headers, json={"otp": code} | EXTRA)
    refreshed = await auth_app.http.post(
        f"{AUTH}/refresh-token", json={"refresh_token": person.tokens[REFRESH]} | EXTRA
    )

    for answer, owner in ((verified, account["id"]), (refreshed, person.claims(ACCESS)["sub"])):
        asked = await auth_app.http.get(f"{AUTH}/forward", headers=bearer(answer.json()["access_token"]))
        assert (asked.headers["x-auth-subject"], asked.headers["x-auth-admin"]) == (owner, "false")
