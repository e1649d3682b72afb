"""S9: a lock or a limit holds on every path on which something can be guessed, not on the first one alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from sqlalchemy import Row

from services.auth import app as auth_service
from services.auth.api.guards import current_session
from services.auth.app import RATE_LIMITED, TOKEN_ENDPOINTS
from services.users import app as users_service
from services.users.callers import caller
from services.users.routes import RATE_LIMITED as USERS_RATE_LIMITED
from shared.messaging.memory import MemoryBus
from tests.asking import problem
from tests.auth_steps import Accounts, Login, Pair, Steps, pair
from tests.builders import OTHER_PASSWORD, PASSWORD, registered
from tests.composed import (
    AUTH,
    USERS,
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    client,
    running_auth,
    running_users,
    users_settings,
)
from tests.inbox import Inbox
from tests.integration.auth.conftest import accounts
from tests.integration.users.conftest import sql
from tests.servers.databases import Databases

__all__ = ("accounts", "sql")

LIMITED = sorted(RATE_LIMITED | USERS_RATE_LIMITED)
MAILS_A_CODE = f"{USERS}/verify-email/send"
SIGNS_A_TOKEN = f"{AUTH}/step-up"
# Asked at each page, with 256 random bits in the body: nobody guesses them, as nobody guesses a bearer token.
SWAPS_A_COOKIE = f"{AUTH}/cookie/access"
SOMEBODY = "01890a5d-ac96-774b-bcce-b302099a8050"
NOWHERE = Databases("none", "postgresql+asyncpg://nobody@127.0.0.1:1/none")


# --- floods


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


def asks_for_a_name(app: FastAPI) -> set[str]:
    """Where the answer tells whether a name or an address is taken."""
    return {
        str(route.path)
        for route in iter_route_contexts(app.routes)
        for body in route.dependant.body_params
        if {"email", "username"} <= getattr(body.field_info.annotation, "model_fields", {}).keys()
    }


def compares_a_code(app: FastAPI) -> set[str]:
    return {
        str(route.path)
        for route in iter_route_contexts(app.routes)
        for body in route.dependant.body_params
        if "code" in getattr(body.field_info.annotation, "model_fields", {})
    }


def guessable(app: FastAPI) -> set[str]:
    """What can be asked for without being logged in, and is no mere reading."""
    return {
        str(route.path)
        for route in iter_route_contexts(app.routes)
        if "GET" not in (route.methods or ()) and not {current_session, caller} & set(_calls(route.dependant))
    }


def test_every_path_where_something_can_be_guessed_is_limited(keys: Keys) -> None:
    auth = guessable(auth_service.build(auth_settings(NOWHERE, keys)))
    assert auth - {SWAPS_A_COOKIE} | {SIGNS_A_TOKEN} == RATE_LIMITED
    users = users_service.build(users_settings(NOWHERE, keys, "http://127.0.0.1:1/"))
    everything = guessable(users) | asks_for_a_name(users) | compares_a_code(users) | {MAILS_A_CODE}
    assert everything == USERS_RATE_LIMITED


@asynccontextmanager
async def application(databases: Databases, keys: Keys, path: str) -> AsyncIterator[FastAPI]:
    """The service of `path`, which lets two requests through, and one more in a quarter of an hour."""
    limits = {"flood_rate": 0.001, "flood_burst": 2}
    bus = MemoryBus()
    if path in RATE_LIMITED:
        async with running_auth(auth_settings(databases, keys, **limits), bus) as auth:
            yield auth.app
    else:
        async with running_users(users_settings(databases, keys, "http://127.0.0.1:1/", **limits), keys, bus) as users:
            yield users.app
    await bus.close()


@pytest.mark.parametrize("path", LIMITED)
async def test_a_flood_is_refused_and_told_when_to_come_again(databases: Databases, keys: Keys, path: str) -> None:
    async with application(databases, keys, path) as app, client(app, "192.0.2.1") as one, client(app) as other:
        path = path.replace("{user_id:uuid}", SOMEBODY)
        *taken, refused = [await one.post(path) for _ in range(3)]
        elsewhere = await other.post(path)

    assert 429 not in [answer.status_code for answer in (*taken, elsewhere)]
    document = problem(refused, 429, "too_many_requests")
    assert document.get("error") == ("temporarily_unavailable" if path in TOKEN_ENDPOINTS else None)
    assert int(refused.headers["retry-after"]) in range(900, 1001)


async def test_a_flood_does_not_concern_who_is_logged_in(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, flood_rate=0.001, flood_burst=1), bus) as auth:
        tokens = pair(await auth.log_in((await accounts.new()).username))
        assert (await auth.log_in("anybody")).status_code == 429

        assert await auth.verify_token(tokens.access) == 200


def test_the_limits_are_those_of_the_design(keys: Keys) -> None:
    fields = type(auth_settings(NOWHERE, keys)).model_fields
    assert (fields["flood_rate"].default, fields["flood_burst"].default) == (50, 200)


# --- a locked account


@pytest.fixture
def steps(auth_app: AuthApp, inbox: Inbox) -> Steps:
    return Steps(auth_app, inbox)


async def every_path(auth: AuthApp, username: str, login: Login, session: Pair) -> dict[str, httpx.Response]:
    return {
        "token": await auth.log_in(username),
        "resend-otp": await auth.resend_otp(login.temporary),
        "verify-otp": await auth.verify_otp(login.temporary, login.code),
        "refresh-token": await auth.refresh(session.refresh),
        "verify-token": await auth.http.post(
            f"{AUTH}/verify-token", headers={"Authorization": f"Bearer {session.access}"}
        ),
    }


async def test_an_account_that_is_locked_is_refused_on_every_path(
    auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    account = await accounts.new(is_2fa=True)
    before = await steps.begin(account)
    session = pair(await auth_app.verify_otp(before.temporary, before.code))
    login = await steps.begin(account)

    await accounts.change(account, is_active=False)

    answers = await every_path(auth_app, account.username, login, session)
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "token": 400, "resend-otp": 401, "verify-otp": 400, "refresh-token": 401, "verify-token": 401,
    }  # fmt: skip
    assert answers["token"].json()["code"] == "incorrect_credentials"


async def test_the_codes_of_an_hour_are_limited_for_logins_and_resends_alike(
    databases: Databases, keys: Keys, bus: MemoryBus, inbox: Inbox, accounts: Accounts
) -> None:
    settings = auth_settings(databases, keys, otp_codes_per_hour=2, otp_resend_cooldown=0)
    async with running_auth(settings, bus) as auth:
        account = await accounts.new(is_2fa=True)
        login = await Steps(auth, inbox).begin(account)
        assert (await auth.resend_otp(login.temporary)).status_code == 202

        refused = [await auth.resend_otp(login.temporary), await auth.log_in(account.username)]

    for answer in refused:
        problem(answer, 429, "too_many_requests")
        assert int(answer.headers["retry-after"]) in range(3500, 3601)


# --- the current password, asked of who holds an access token

LONG_AGO = 3000  # seconds since the login: the token alone changes no password any more


@pytest.fixture
async def account(users_app: UsersApp) -> Row[Any]:
    return await registered(users_app.parts)


async def change_password(users: UsersApp, account: UUID, current: str | None, login_age: int = LONG_AGO) -> int:
    body = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD, "current_password": current}
    headers = users.as_(account, login_age=login_age)
    answer = await users.http.post(f"{USERS}/change-password", headers=headers, json=body)
    if answer.status_code == 429:
        problem(answer, 429, "too_many_requests")
        assert int(answer.headers["retry-after"]) in range(3500, 3601)
    return answer.status_code


async def test_of_current_passwords_guessed_at_once_ten_are_compared(
    users_app: UsersApp, account: Row[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on as many replicas, of which each deals with one request of an account at a time."""
    monkeypatch.setattr(users_app.parts.hash_shares, "one_change", lambda _: nullcontext())
    guesses = [change_password(users_app, account.id, f"guess number {each}") for each in range(15)]

    assert sorted(await asyncio.gather(*guesses)) == [403] * 10 + [429] * 5
    assert await change_password(users_app, account.id, PASSWORD) == 429, "the right one tells nothing either"


async def test_guesses_of_the_current_password_do_not_hinder_who_logs_in_anew(
    users_app: UsersApp, account: Row[Any]
) -> None:
    while await change_password(users_app, account.id, "a guess") != 429:
        pass

    assert await change_password(users_app, account.id, None, login_age=1) == 200


async def test_a_right_current_password_resets_the_guesses(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection
) -> None:
    assert [await change_password(users_app, account.id, "a guess") for _ in range(9)] == [403] * 9

    assert await change_password(users_app, account.id, PASSWORD) == 200
    assert await sql.fetchval("SELECT count(*) FROM password_guesses") == 0


async def test_an_hour_resets_the_guesses(users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection) -> None:
    assert [await change_password(users_app, account.id, "a guess") for _ in range(11)] == [403] * 10 + [429]

    await sql.execute("UPDATE password_guesses SET last_at = last_at - interval '1 hour'")

    assert await change_password(users_app, account.id, "a guess") == 403
