"""Second factors that auth has told of: shown with the account, and in the list."""

from __future__ import annotations

from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import Row

from shared.messaging.factor_events import EnrolledFactor
from shared.messaging.memory import MemoryBus
from tests.builders import OTHER_PASSWORD, PASSWORD, factors_changed, message, registered
from tests.composed import USERS, UsersApp

SHOWN: dict[tuple[EnrolledFactor, ...], list[str]] = {
    (): ["email"],
    ("recovery", "totp"): ["totp", "email", "recovery"],
    ("recovery", "totp", "passkey"): ["passkey", "totp", "email", "recovery"],
}


@pytest.fixture
async def admin(users_app: UsersApp) -> Row[Any]:
    return await registered(users_app.parts, is_admin=True)


async def listed(app: UsersApp, admin: Row[Any], word: str) -> httpx.Response:
    return await app.http.get(f"{USERS}/", headers=app.as_(admin.id), params={"second_factor": word})


async def test_all_factors_are_shown_the_strongest_first_to_the_owner_and_to_an_administrator(
    users_app: UsersApp, admin: Row[Any], bus: MemoryBus
) -> None:
    person = await registered(users_app.parts, is_2fa=True)
    urls = {f"{USERS}/me": person, f"{USERS}/{person.id}": admin, f"{USERS}/?user_id={person.id}": admin}
    for version, (methods, shown) in enumerate(SHOWN.items(), 1):
        await bus.publish(message(factors_changed(person.id, *methods, version=version)))

        for url, caller in urls.items():
            answer = (await users_app.http.get(url, headers=users_app.as_(caller.id))).json()
            account = answer[0] if isinstance(answer, list) else answer
            assert account["second_factors"] == shown, url


async def test_the_entity_tag_names_the_factors_that_the_account_itself_tells_auth_nothing_of(
    users_app: UsersApp, bus: MemoryBus, sql: asyncpg.Connection
) -> None:
    person = await registered(users_app.parts)
    headers = users_app.as_(person.id)

    async def patched(tag: str) -> httpx.Response:
        return await users_app.http.patch(f"{USERS}/", headers=headers | {"If-Match": tag}, json={"name": "Zoë"})

    tag = (await users_app.http.get(f"{USERS}/me", headers=headers)).headers["etag"]
    told = factors_changed(person.id, "totp", version=7)
    await bus.publish(message(told))
    assert (tag, (await patched(tag)).status_code) == ('"1"', 412)
    tag = (await users_app.http.get(f"{USERS}/me", headers=headers)).headers["etag"]
    await bus.publish(message(told))  # as after each change of the account: nothing is new
    changed = await patched(tag)

    assert (tag, changed.status_code, changed.headers["etag"]) == ('"1.7"', 200, '"2.7"')
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE type = 'users.account_changed.v1'") == 2


@pytest.mark.parametrize(
    ("word", "who"),
    [
        ("passkey", ["all"]),
        ("totp", ["all", "app"]),
        ("email", ["all", "mail"]),
        ("recovery", ["all"]),
        ("none", ["admin", "codes alone"]),
    ],
)
async def test_the_list_has_those_with_the_factor_that_is_asked_for(
    users_app: UsersApp, admin: Row[Any], bus: MemoryBus, word: str, who: list[str]
) -> None:
    people = {"admin": admin}
    for name, is_2fa, methods in (
        ("all", True, ("passkey", "totp", "recovery")), ("app", False, ("totp",)), ("mail", True, ()),
        ("codes alone", False, ("recovery",)),
    ):  # fmt: skip
        people[name] = await registered(users_app.parts, is_2fa=is_2fa)
        if methods:
            await bus.publish(message(factors_changed(people[name].id, *methods)))

    found = [account["id"] for account in (await listed(users_app, admin, word)).json()]

    assert found == [str(people[name].id) for name in people if name in who]


async def test_recovery_codes_alone_are_no_second_factor(users_app: UsersApp, admin: Row[Any], bus: MemoryBus) -> None:
    await bus.publish(message(factors_changed(admin.id, "recovery")))

    assert [account["second_factors"] for account in (await listed(users_app, admin, "none")).json()] == [[]]


async def test_the_list_knows_no_other_word_of_a_factor(users_app: UsersApp, admin: Row[Any]) -> None:
    assert (await listed(users_app, admin, "sms")).status_code == 422


@pytest.mark.parametrize("by_app", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/", {"is_2fa": False}),
        ("PATCH", "/", {"email": "another@test.com"}),
        ("DELETE", "/", None),
        ("POST", "/change-password", {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}),
        (
            "POST",
            "/change-password",
            {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD, "current_password": PASSWORD},
        ),
    ],
)
async def test_a_login_without_the_second_factor_of_an_account_changes_nothing_that_guards_it(
    users_app: UsersApp, bus: MemoryBus, by_app: bool, method: str, path: str, body: dict[str, object] | None
) -> None:
    """Such as that of a trusted device, which somebody may have taken with the password."""
    person = await registered(users_app.parts, is_2fa=not by_app)
    if by_app:
        await bus.publish(message(factors_changed(person.id, "totp")))

    async def asked(amr: str) -> httpx.Response:
        headers = users_app.as_(person.id, amr=amr)
        return await users_app.http.request(method, f"{USERS}{path}", headers=headers, json=body)

    refused = await asked("pwd")
    assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_required")
    assert (await asked("pwd otp mfa")).is_success
