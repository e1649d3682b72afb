"""Who may do what: read from the users service's own table at each request, never from a token."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import Row

from services.auth.tokens.keys import KeyRing, generate
from shared.messaging.memory import MemoryBus
from tests.builders import registered
from tests.composed import USERS, Keys, UsersApp, running_users, users_settings
from tests.servers.databases import Databases
from tests.servers.ports import free_ports
from tests.serving_jwks import serving_jwks

JUST_NOW, TOO_LONG_AGO = 280, 320  # a login counts as fresh for 300 seconds


@pytest.fixture
async def account(users_app: UsersApp) -> Row[Any]:
    return await registered(users_app.parts)


@pytest.fixture
async def admin(users_app: UsersApp) -> Row[Any]:
    return await registered(users_app.parts, is_admin=True)


async def me(app: UsersApp, headers: dict[str, str]) -> httpx.Response:
    return await app.http.get(f"{USERS}/me", headers=headers)


async def patch(
    app: UsersApp, headers: dict[str, str], change: dict[str, Any], of: Row[Any] | None = None
) -> httpx.Response:
    params = {"user_id": str(of.id)} if of is not None else {}
    return await app.http.patch(f"{USERS}/", headers=headers, params=params, json=change)


@pytest.mark.parametrize("change", [{"email": "new@example.org"}, {"username": "new"}, {"is_2fa": True}])
async def test_an_own_change_of_what_one_logs_in_with_needs_a_fresh_login(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection, change: dict[str, Any]
) -> None:
    old = await patch(users_app, users_app.as_(account.id, login_age=TOO_LONG_AGO), {"name": "David"} | change)

    assert (old.status_code, old.json()["code"]) == (403, "login_too_old")
    assert await sql.fetchval("SELECT version FROM accounts") == 1
    fresh = await patch(users_app, users_app.as_(account.id, login_age=JUST_NOW), change)
    assert fresh.status_code == 200


async def test_an_own_change_of_a_name_needs_no_fresh_login(users_app: UsersApp, account: Row[Any]) -> None:
    headers = users_app.as_(account.id, login_age=TOO_LONG_AGO)

    assert (await patch(users_app, headers, {"name": "David", "lastname": "G."})).status_code == 200


async def test_the_rule_of_the_fresh_login_can_not_be_evaded_by_naming_oneself(
    users_app: UsersApp, account: Row[Any], admin: Row[Any]
) -> None:
    for each in (account, admin):
        headers = users_app.as_(each.id, login_age=TOO_LONG_AGO)
        assert (await patch(users_app, headers, {"is_2fa": True}, of=each)).status_code == 403


async def test_an_admin_changes_and_deletes_others(users_app: UsersApp, account: Row[Any], admin: Row[Any]) -> None:
    headers = users_app.as_(admin.id, login_age=JUST_NOW)

    changed = await patch(users_app, headers, {"email": "new@example.org", "is_admin": True}, of=account)
    deleted = await users_app.http.delete(f"{USERS}/", headers=headers, params={"user_id": str(account.id)})

    assert (changed.status_code, changed.json()["is_admin"]) == (200, True)
    assert (deleted.status_code, deleted.json()) == (
        200, {"message": f"User with id:'{account.id}' deleted successfully"},
    )  # fmt: skip


async def test_others_may_neither_list_nor_change_nor_delete_anybody_but_themselves(
    users_app: UsersApp, account: Row[Any], admin: Row[Any], sql: asyncpg.Connection
) -> None:
    headers = users_app.as_(account.id)
    before = await sql.fetch("SELECT * FROM accounts ORDER BY id")

    answers = [
        await users_app.http.get(f"{USERS}/", headers=headers),
        await users_app.http.get(f"{USERS}/", headers=headers, params={"user_id": str(account.id)}),
        await patch(users_app, headers, {"name": "Eve"}, of=admin),
        await patch(users_app, headers, {"is_admin": True}),
        await patch(users_app, headers, {"is_active": False}),
        await users_app.http.delete(f"{USERS}/", headers=headers, params={"user_id": str(admin.id)}),
        await users_app.http.delete(f"{USERS}/", headers=headers, params={"user_id": str(uuid4())}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 7
    assert {answer.json()["detail"] for answer in answers} == {"Not enough permissions"}
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        'Bearer realm="login2fa", error="insufficient_scope"'
    }
    # The system that this one replaces deleted the caller when somebody else was named.
    assert await sql.fetch("SELECT * FROM accounts ORDER BY id") == before


async def test_an_admin_who_is_demoted_is_none_with_the_very_next_request(
    users_app: UsersApp, account: Row[Any], admin: Row[Any]
) -> None:
    other = await registered(users_app.parts, is_admin=True)
    token = users_app.as_(other.id)
    assert (await users_app.http.get(f"{USERS}/", headers=token)).status_code == 200

    assert (await patch(users_app, users_app.as_(admin.id), {"is_admin": False}, of=other)).status_code == 200

    assert (await users_app.http.get(f"{USERS}/", headers=token)).status_code == 403
    assert (await patch(users_app, token, {"name": "Eve"}, of=account)).status_code == 403
    delete = await users_app.http.delete(f"{USERS}/", headers=token, params={"user_id": str(account.id)})
    assert delete.status_code == 403


async def test_one_who_is_made_an_admin_is_one_with_the_very_next_request(
    users_app: UsersApp, account: Row[Any], admin: Row[Any]
) -> None:
    token = users_app.as_(account.id)

    await patch(users_app, users_app.as_(admin.id), {"is_admin": True}, of=account)

    assert (await users_app.http.get(f"{USERS}/", headers=token)).status_code == 200


async def test_the_token_of_a_deactivated_account_is_refused_at_once(
    users_app: UsersApp, account: Row[Any], admin: Row[Any]
) -> None:
    token = users_app.as_(account.id)
    assert (await me(users_app, token)).status_code == 200

    await patch(users_app, users_app.as_(admin.id), {"is_active": False}, of=account)

    refused = await me(users_app, token)
    assert (refused.status_code, refused.json()["detail"]) == (401, "Token not valid")
    # Nor does it come back to life with the account.
    await patch(users_app, users_app.as_(admin.id), {"is_active": True}, of=account)
    assert (await me(users_app, token)).status_code == 401
    assert (await me(users_app, users_app.as_(account.id, epoch=2))).status_code == 200


async def test_an_inactive_account_is_refused_whatever_its_sessions(
    users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection
) -> None:
    await sql.execute("UPDATE accounts SET is_active = false")  # and no epoch has ended

    assert (await me(users_app, users_app.as_(account.id))).status_code == 401


async def test_the_token_of_a_deleted_account_is_refused_at_once(users_app: UsersApp, account: Row[Any]) -> None:
    token = users_app.as_(account.id)

    await users_app.http.delete(f"{USERS}/", headers=token)

    assert (await me(users_app, token)).status_code == 401


async def test_public_keys_once_seen_serve_while_auth_is_away(databases: Databases, keys: Keys, bus: MemoryBus) -> None:
    async with AsyncExitStack() as stack, AsyncExitStack() as auth:
        url = await auth.enter_async_context(serving_jwks(keys.folder))
        app = await stack.enter_async_context(running_users(users_settings(databases, keys, url), keys, bus))
        account = await registered(app.parts)
        assert (await me(app, app.as_(account.id))).status_code == 200

        await auth.aclose()
        await app.parts.keys._fetch()  # in vain: nobody is there

        assert (await me(app, app.as_(account.id))).status_code == 200
        assert (await me(app, app.as_(uuid4()))).status_code == 401


async def test_a_token_of_an_unknown_key_is_refused(users_app: UsersApp, tmp_path: Path) -> None:
    account = await registered(users_app.parts)
    assert (await me(users_app, users_app.as_(account.id))).status_code == 200
    generate(tmp_path / "foreign")
    users_app.tokens.keys = KeyRing(tmp_path / "foreign")

    assert (await me(users_app, users_app.as_(account.id))).status_code == 401


async def test_a_key_that_auth_began_to_use_is_known_with_its_first_token(
    databases: Databases, keys: Keys, bus: MemoryBus, tmp_path: Path
) -> None:
    generate(tmp_path)
    async with (
        serving_jwks(tmp_path) as url,
        running_users(users_settings(databases, keys, url), keys, bus) as app,
    ):
        account = await registered(app.parts)
        app.parts.keys._early_interval = 0  # it would not ask again so soon
        app.tokens.keys = KeyRing(tmp_path)
        assert (await me(app, app.as_(account.id))).status_code == 200

        generate(tmp_path)
        app.tokens.keys = KeyRing(tmp_path)

        assert (await me(app, app.as_(account.id))).status_code == 200


async def test_before_any_public_key_was_seen_the_answer_is_503(
    databases: Databases, keys: Keys, bus: MemoryBus
) -> None:
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}/jwks.json"
    async with running_users(users_settings(databases, keys, nowhere), keys, bus) as app:
        account = await registered(app.parts)

        answer = await me(app, app.as_(account.id))

        assert (answer.status_code, answer.json()["code"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
