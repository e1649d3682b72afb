"""S39: what has ended, was taken or locked while a request waited writes nothing."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users import accounts, ended_sessions
from services.users import app as service
from services.users.callers import Users
from tests.builders import OTHER_PASSWORD, PASSWORD, password_hash, registered, registration, session_ended
from tests.composed import USERS
from tests.polling import eventually
from tests.security.waiting import (
    ENDS,
    MakeScene,
    Meanwhile,
    Scene,
    admin_taken,
    bus,
    deleted,
    factor_added,
    logged_out,
    new_scene,
    password_changed_in_this_session,
    scene,
)

__all__ = ("bus", "new_scene", "scene")

NEW_PASSWORD = {"password": "another battery staple", "confirm_password": "another battery staple"}


# --- what waits

Request = Callable[[Scene], Coroutine[Any, Any, httpx.Response]]


async def change_password_after_a_fresh_login(scene: Scene) -> httpx.Response:
    url = f"{USERS}/change-password"
    return await scene.app.http.post(url, headers=scene.headers, json=NEW_PASSWORD)


async def change_password_with_the_current_one(scene: Scene) -> httpx.Response:
    body = NEW_PASSWORD | {"current_password": PASSWORD}
    return await scene.app.http.post(f"{USERS}/change-password", headers=scene.headers, json=body)


async def patch_own(scene: Scene) -> httpx.Response:
    return await scene.app.http.patch(f"{USERS}/", headers=scene.headers, json={"name": "Mallory"})


async def delete_own(scene: Scene) -> httpx.Response:
    return await scene.app.http.delete(f"{USERS}/", headers=scene.headers)


async def patch_own_right(scene: Scene) -> httpx.Response:
    return await scene.app.http.patch(f"{USERS}/", headers=scene.headers, json={"is_admin": False})


async def patch_another(scene: Scene) -> httpx.Response:
    params = {"user_id": str(scene.person.id)}
    body = {"is_admin": True}
    return await scene.app.http.patch(f"{USERS}/", headers=scene.headers, params=params, json=body)


async def delete_another(scene: Scene) -> httpx.Response:
    params = {"user_id": str(scene.person.id)}
    return await scene.app.http.delete(f"{USERS}/", headers=scene.headers, params=params)


async def patch_own_address(scene: Scene) -> httpx.Response:
    return await scene.app.http.patch(f"{USERS}/", headers=scene.headers, json={"email": "mallory@example.org"})


async def vouch_for_another(scene: Scene) -> httpx.Response:
    return await scene.app.http.post(f"{USERS}/{scene.person.id}/verify-email", headers=scene.headers)


async def start_reset_of_another(scene: Scene) -> httpx.Response:
    return await scene.app.http.post(f"{USERS}/{scene.person.id}/password-reset", headers=scene.headers)


async def make_another(scene: Scene) -> httpx.Response:
    body = {name: value for name, value in registration(name="Mallory").items() if name != "password"}
    return await scene.app.http.post(f"{USERS}/", headers=scene.headers, json=body)


async def invite_another(scene: Scene) -> httpx.Response:
    body = {"email": "mallory@example.org", "is_admin": True}
    return await scene.app.http.post(f"{USERS}/invitations", headers=scene.headers, json=body)


OF_OTHERS: list[Request] = [patch_another, delete_another, vouch_for_another, start_reset_of_another]
OF_ADMINISTRATORS: list[Request] = [*OF_OTHERS, make_another, invite_another, patch_own_right]
REQUESTS: list[Request] = [
    change_password_after_a_fresh_login,
    change_password_with_the_current_one,
    patch_own,
    patch_own_address,
    delete_own,
    *OF_ADMINISTRATORS,
]


async def waited(scene: Scene, request: Request, meanwhile: Meanwhile) -> tuple[httpx.Response, bool]:
    """The answer to a request that waited while this was done; and whether it wrote anything."""
    users = scene.app.parts
    async with users.database.transaction() as connection:
        row = (await accounts.lock(connection, scene.admin.id))[scene.admin.id]
        asked = asyncio.create_task(request(scene))

        await eventually(lambda: _waits_or_is_done(scene, asked), timeout=60)
        await meanwhile(connection, users, row, scene.session)
    return await asked, await _wrote(scene)


async def _waits_or_is_done(scene: Scene, asked: asyncio.Task[httpx.Response]) -> bool:
    return asked.done() or await scene.somebody_waits()


async def _wrote(scene: Scene) -> bool:
    """Whether anything is in the tables that the request, and not what happened meanwhile, has put there."""
    one = "SELECT * FROM users.accounts WHERE id = $1"
    person, own = [await scene.sql.fetchrow(one, each.id) for each in (scene.person, scene.admin)]
    new = own is not None and own["password_hash"] not in (password_hash(), password_hash(OTHER_PASSWORD))
    touched = person is None or person["is_admin"] or person["email_verified_at"] is not None
    touched = touched or (own is not None and own["pending_email"] is not None)
    made = "SELECT (SELECT count(*) FROM users.codes) + (SELECT count(*) FROM users.accounts WHERE name = 'Mallory')"
    return new or touched or bool(await scene.sql.fetchval(made))


@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_session_that_ended_while_its_request_waited_writes_nothing(
    new_scene: MakeScene, request_: Request
) -> None:
    seen = {}
    for meanwhile in ENDS:
        scene = await new_scene()
        answer, wrote = await waited(scene, request_, meanwhile)
        left = await scene.sql.fetchval("SELECT count(*) FROM users.accounts WHERE id = $1", scene.admin.id)
        seen[meanwhile] = (answer.status_code, answer.json()["detail"], wrote, left)

    assert seen == {each: (401, "Token not valid", False, 0 if each is deleted else 1) for each in ENDS}


@pytest.mark.parametrize("request_", OF_ADMINISTRATORS)
async def test_a_right_that_was_taken_while_its_request_waited_changes_nobody(scene: Scene, request_: Request) -> None:
    answer, wrote = await waited(scene, request_, admin_taken)

    assert (answer.status_code, answer.json()["detail"], wrote) == (403, "Not enough permissions", False)


async def test_a_second_factor_that_came_while_an_act_waited_is_asked_for(scene: Scene) -> None:
    answer, wrote = await waited(scene, patch_another, factor_added)

    assert (answer.status_code, answer.json()["code"], wrote) == (403, "second_factor_required", False)


async def test_a_password_that_was_changed_meanwhile_is_the_current_one_no_more(scene: Scene) -> None:
    answer, wrote = await waited(scene, change_password_with_the_current_one, password_changed_in_this_session)

    assert (answer.status_code, answer.json()["code"], wrote) == (403, "current_password_wrong", False)


@pytest.mark.parametrize("guess", [PASSWORD, OTHER_PASSWORD])
async def test_a_guess_of_the_current_password_whose_session_ended_meanwhile_is_not_judged(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, guess: str
) -> None:
    """It waits for its turn to be hashed; the owner, who logs the thief out, does not tell him what he has found."""
    users = scene.app.parts
    verify = users.passwords.verify

    async def after_a_logout(*arguments: Any) -> bool:
        async with users.database.transaction() as connection:
            await logged_out(connection, users, scene.admin, scene.session)
        return await verify(*arguments)

    monkeypatch.setattr(users.passwords, "verify", after_a_logout)
    body = NEW_PASSWORD | {"current_password": guess}
    answer = await scene.app.http.post(f"{USERS}/change-password", headers=scene.headers, json=body)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert await scene.sql.fetchval("SELECT guesses FROM users.password_guesses") == 1


async def test_a_login_that_grew_old_while_its_request_waited_is_old(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its age is asked again under the lock; here the lock is held until the limit has become none at all."""

    async def limit_passes(_connection: AsyncConnection, users: Users, _row: Row[Any], _session: UUID) -> None:
        monkeypatch.setattr("services.users.callers.Caller.is_recent", lambda _caller: False)

    answer, wrote = await waited(scene, change_password_after_a_fresh_login, limit_passes)

    assert (answer.status_code, answer.json()["code"], wrote) == (403, "current_password_wrong", False)


@pytest.mark.parametrize("request_", OF_OTHERS)
async def test_an_account_that_was_deleted_meanwhile_is_not_found(scene: Scene, request_: Request) -> None:
    async def target_deleted(connection: AsyncConnection, _users: Users, _row: Row[Any], _session: UUID) -> None:
        await accounts.remove(connection, scene.person)

    answer, _ = await waited(scene, request_, target_deleted)

    assert answer.status_code == 404


async def test_a_session_does_not_end_between_check_and_commit(scene: Scene) -> None:
    """The end waits for the row as every write does."""
    users = scene.app.parts
    event = session_ended(scene.session).model_copy(update={"account_id": scene.admin.id})

    async def end() -> None:
        async with users.database.transaction() as connection:
            await ended_sessions.apply(connection, event)

    async with users.database.transaction() as connection:
        await accounts.lock(connection, scene.admin.id)
        ending = asyncio.create_task(end())

        await eventually(scene.somebody_waits, timeout=60)
        assert await scene.sql.fetchval("SELECT count(*) FROM users.ended_sessions") == 0
    await ending
    assert await scene.sql.fetchval("SELECT count(*) FROM users.ended_sessions") == 1


async def test_two_administrators_who_act_on_each_other_at_once_both_get_an_answer(scene: Scene) -> None:
    """Both rows are locked in the order of their ids, whoever asks: nobody deadlocks."""
    other = await registered(scene.app.parts, is_admin=True)

    async def rename(by: Row[Any], whom: Row[Any], name: str) -> int:
        params = {"user_id": str(whom.id)}
        headers = scene.app.as_(by.id)
        answer = await scene.app.http.patch(f"{USERS}/", headers=headers, params=params, json={"name": name})
        return answer.status_code

    pairs = [(scene.admin, other), (other, scene.admin)] * 3
    answers = await asyncio.gather(*(rename(by, whom, f"Name{n}") for n, (by, whom) in enumerate(pairs)))

    assert answers == [200] * len(pairs)


# --- so that nobody forgets

SOURCES = sorted(Path(service.__file__).parent.glob("*.py"))
WRITES = re.compile(r"\b(insert|update|delete)\(accounts\b|\baccounts\.(create\w*|change|remove|lock|replace_hash)\(")
FOR_A_SESSION = re.compile(r"\bknown: Caller\b")
OPENS_A_TRANSACTION = re.compile(r"\.(transaction|statement|driver)\(")


# They write for no session too: for whoever registers or has a code, for an operator, for an event of auth.
FOR_NO_SESSION = {
    "registering", "password_reset", "administration", "addresses", "account_factors", "importing",
    "rehashed_passwords", "restored",
}  # fmt: skip


def test_one_module_alone_writes_accounts_for_a_session_and_no_route_opens_a_transaction() -> None:
    texts = {path.stem: path.read_text() for path in SOURCES}

    assert {name for name, text in texts.items() if WRITES.search(text)} == {"accounts", "writes"} | FOR_NO_SESSION
    routes = {name for name, text in texts.items() if "APIRouter(" in text}
    assert {"account_routes", "address_routes", "password_routes", "routes"} <= routes
    assert {name for name in routes if OPENS_A_TRANSACTION.search(texts[name])} == set()
    functions = {
        f"{name}.{function.name}": ast.unparse(function)
        for name in FOR_NO_SESSION
        for function in ast.parse(texts[name]).body
        if isinstance(function, ast.AsyncFunctionDef)
    }
    mine = {name: text for name, text in functions.items() if FOR_A_SESSION.search(text) and WRITES.search(text)}
    assert {name for name, text in mine.items() if "writing(users, known" not in text} == set()
