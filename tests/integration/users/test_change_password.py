"""Changing one's password: who may, and what it ends."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import Row

from tests.builders import OTHER_PASSWORD, PASSWORD, password_hash, registered
from tests.composed import USERS, UsersApp

JUST_NOW, TOO_LONG_AGO = 280, 320  # a login counts as fresh for 300 seconds


@pytest.fixture
async def account(users_app: UsersApp) -> Row[Any]:
    return await registered(users_app.parts)


async def change(app: UsersApp, headers: dict[str, str], **fields: str | None) -> httpx.Response:
    body = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD} | fields
    return await app.http.post(f"{USERS}/change-password", headers=headers, json=body)


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]


async def test_a_fresh_login_is_enough(users_app: UsersApp, account: Row[Any], sql: asyncpg.Connection) -> None:
    answer = await change(users_app, users_app.as_(account.id, login_age=JUST_NOW))

    assert (answer.status_code, answer.json()) == (200, {"message": "Password updated"})
    stored = await sql.fetchval("SELECT password_hash FROM accounts")
    assert await users_app.parts.passwords.verify(OTHER_PASSWORD, stored)
    assert not await users_app.parts.passwords.verify(PASSWORD, stored)


@pytest.mark.parametrize(
    ("login_age", "current_password", "status"),
    [
        (TOO_LONG_AGO, None, 403),
        (TOO_LONG_AGO, "not the password", 403),
        (TOO_LONG_AGO, PASSWORD, 200),
        (JUST_NOW, "not the password", 403),  # what is given must be right
        (JUST_NOW, PASSWORD, 200),
    ],
)
async def test_an_older_login_needs_the_current_password(
    users_app: UsersApp,
    account: Row[Any],
    sql: asyncpg.Connection,
    login_age: float,
    current_password: str | None,
    status: int,
) -> None:
    headers = users_app.as_(account.id, login_age=login_age)

    answer = await change(users_app, headers, current_password=current_password)

    assert answer.status_code == status
    if status == 403:
        assert outcome(answer) == (403, "Current password missing or wrong")
        assert await sql.fetchval("SELECT password_hash FROM accounts") == password_hash()
        assert await sql.fetchval("SELECT version FROM accounts") == 1


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"confirm_password": "something else"}, (400, "Passwords do not match")),
        (
            {"password": "short12", "confirm_password": "short12"},
            (400, "Password must be at least 8 characters long"),
        ),
        (
            {"password": "Dave the Great", "confirm_password": "Dave the Great"},
            (400, "Password must be something else than your own name or address"),
        ),
    ],
)
async def test_a_mismatch_or_a_weak_password_changes_nothing(
    users_app: UsersApp, sql: asyncpg.Connection, fields: dict[str, str], refusal: tuple[int, str]
) -> None:
    account = await registered(users_app.parts, username="dave the great")

    answer = await change(users_app, users_app.as_(account.id), **fields)

    assert outcome(answer) == refusal
    assert await sql.fetchval("SELECT version FROM accounts") == 1


async def test_every_other_session_ends_here_at_once(users_app: UsersApp, account: Row[Any]) -> None:
    mine, other = uuid4(), uuid4()

    async def me(session: UUID, epoch: int) -> int:
        headers = users_app.as_(account.id, session=session, epoch=epoch)
        return (await users_app.http.get(f"{USERS}/me", headers=headers)).status_code

    assert [await me(session, 0) for session in (mine, other)] == [200, 200]

    assert (await change(users_app, users_app.as_(account.id, session=mine))).status_code == 200

    assert [await me(session, 0) for session in (mine, other)] == [200, 401]
    assert await me(uuid4(), 1) == 200  # of a login after it
