"""Somebody with an account and a session, and what they do about an address."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.builders import registered, registration
from tests.composed import USERS, UsersApp


class Person:
    """Somebody with an account and a session."""

    def __init__(self, app: UsersApp, account: UUID, email: str) -> None:
        self.app = app
        self.id = account
        self.email = email
        self.session = uuid4()

    def headers(self, *, epoch: int = 0, **how: Any) -> dict[str, str]:
        return self.app.as_(self.id, session=self.session, epoch=epoch, **how)

    async def ask(self) -> httpx.Response:
        return await self.app.http.post(f"{USERS}/verify-email/send", headers=self.headers())

    async def confirm(self, code: str) -> httpx.Response:
        return await self.app.http.post(f"{USERS}/verify-email", headers=self.headers(), json={"code": code})

    async def patch(self, **changes: Any) -> httpx.Response:
        return await self.app.http.patch(f"{USERS}/", headers=self.headers(), json=changes)

    async def me(self) -> dict[str, Any]:
        answer = await self.app.http.get(f"{USERS}/me", headers=self.headers())
        return dict(answer.json())


@pytest.fixture
async def newcomer(users_app: UsersApp) -> Person:
    """Registered over HTTP a moment ago."""
    answer = await users_app.http.post(f"{USERS}/registration", json=registration())
    return Person(users_app, UUID(answer.json()["id"]), answer.json()["email"])


@pytest.fixture
async def owner(users_app: UsersApp) -> Person:
    """The address is proved."""
    row = await registered(users_app.parts)
    return Person(users_app, row.id, row.email)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]
