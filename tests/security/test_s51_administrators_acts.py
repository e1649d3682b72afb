"""S51: no administrator's act without a second factor, where one is demanded or the administrator has one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Row

from shared.messaging.factor_events import EnrolledFactor
from shared.messaging.memory import MemoryBus
from tests.builders import factors_changed, message, registered
from tests.composed import USERS, Keys, UsersApp, running_users, users_app, users_settings
from tests.integration.users.conftest import bus, sql
from tests.integration.users.registering import refusal
from tests.servers.databases import Databases

__all__ = ("bus", "sql", "users_app")

BY_CODE = "pwd otp mfa"
WITH_ONE = ["pwd pop user mfa", "pop user mfa", BY_CODE]
WITHOUT = ["pwd", "pwd otp", "pop", "user", "mfa2"]


@pytest.fixture(params=["admins", "all"])
async def app(
    databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str, request: pytest.FixtureRequest
) -> AsyncIterator[UsersApp]:
    async with running_users(users_settings(databases, keys, jwks_url, require_2fa=request.param), keys, bus) as users:
        yield users


def acts(person: Row[Any]) -> list[tuple[str, str, dict[str, Any] | None]]:
    return [
        ("GET", "/", None),
        ("GET", f"/{person.id}", None),
        ("PATCH", f"/{person.id}", {"name": "Eve"}),
        ("PATCH", "/", {"groups": ["staff"]}),
        ("DELETE", f"/{person.id}", None),
        ("POST", f"/{person.id}/password-reset", None),
        ("POST", f"/{person.id}/verify-email", None),
        ("POST", "/invitations", {"email": "eve@example.org", "is_admin": True}),
        ("POST", "/", {"email": "eve@example.org", "username": "eve", "name": "Eve", "lastname": "Eve"}),
    ]


async def test_where_it_is_demanded_an_administrators_act_needs_a_session_with_a_second_factor(
    app: UsersApp, sql: asyncpg.Connection
) -> None:
    admin = await registered(app.parts, is_admin=True)
    person = await registered(app.parts, email_verified_at=None)
    for method, path, body in acts(person):
        answer = await app.http.request(method, USERS + path, headers=app.as_(admin.id), json=body)
        assert refusal(answer) == (403, "second_factor_required"), (method, path)
    assert await sql.fetchval("SELECT sum(version) FROM accounts") == 2
    assert await sql.fetchval("SELECT count(*) FROM codes") == 0

    assert [await lists(app, admin, amr) for amr in WITH_ONE] == [200] * len(WITH_ONE)
    assert [await lists(app, admin, amr) for amr in WITHOUT] == [403] * len(WITHOUT)


@pytest.mark.parametrize(
    ("is_2fa", "methods"), [(True, ()), (False, ("totp",)), (False, ("passkey", "recovery"))], ids=str
)
async def test_an_administrator_who_has_a_second_factor_acts_with_it(
    users_app: UsersApp, bus: MemoryBus, is_2fa: bool, methods: tuple[EnrolledFactor, ...]
) -> None:
    """A trusted device, or a session from before the factor, is not enough."""
    admin = await registered(users_app.parts, is_admin=True, is_2fa=is_2fa)
    person = await registered(users_app.parts)
    await bus.publish(message(factors_changed(admin.id, *methods)))

    for method, path, body in acts(person):
        answer = await users_app.http.request(method, USERS + path, headers=users_app.as_(admin.id), json=body)
        assert refusal(answer) == (403, "second_factor_required"), (method, path)
    assert [await lists(users_app, admin, amr) for amr in WITH_ONE] == [200] * len(WITH_ONE)


async def lists(app: UsersApp, admin: Row[Any], amr: str) -> int:
    return (await app.http.get(f"{USERS}/", headers=app.as_(admin.id, amr=amr))).status_code


async def test_whoever_has_none_gets_as_far_as_turning_one_on_and_no_further_than_keeping_it(app: UsersApp) -> None:
    admin = await registered(app.parts, is_admin=True)
    assert (await app.http.get(f"{USERS}/me", headers=app.as_(admin.id))).status_code == 200
    on = await app.http.patch(f"{USERS}/", headers=app.as_(admin.id), json={"is_2fa": True})
    assert on.status_code == 200

    again = app.as_(admin.id, epoch=1, amr=BY_CODE)
    off = await app.http.patch(f"{USERS}/", headers=again, json={"is_2fa": False})
    assert refusal(off) == (403, "second_factor_stays")


async def test_codes_by_mail_are_turned_off_where_an_app_stays(app: UsersApp, bus: MemoryBus) -> None:
    admin = await registered(app.parts, is_admin=True, is_2fa=True)
    await bus.publish(message(factors_changed(admin.id, "totp")))

    headers = app.as_(admin.id, amr=BY_CODE)
    assert (await app.http.patch(f"{USERS}/", headers=headers, json={"is_2fa": False})).status_code == 200


async def test_a_whole_profile_may_be_sent_back_by_whoever_has_no_second_factor(app: UsersApp) -> None:
    person = await registered(app.parts, is_admin=True)
    answer = await app.http.patch(f"{USERS}/", headers=app.as_(person.id), json={"name": "Eve", "is_2fa": False})
    assert answer.status_code == 200
