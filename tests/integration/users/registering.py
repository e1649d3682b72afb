"""Users with any settings, and what somebody does who registers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from shared.messaging.memory import MemoryBus
from tests.builders import registration
from tests.composed import USERS, Keys, UsersApp, running_users, users_settings
from tests.servers.databases import Databases

Running = Callable[..., AbstractAsyncContextManager[UsersApp]]


@pytest.fixture
def running(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> Running:
    @asynccontextmanager
    async def with_settings(**settings: Any) -> AsyncIterator[UsersApp]:
        async with running_users(users_settings(databases, keys, jwks_url, **settings), keys, bus) as app:
            yield app

    return with_settings


async def register(app: UsersApp, **fields: Any) -> httpx.Response:
    return await app.http.post(f"{USERS}/registration", json=registration(**fields))


async def confirm(app: UsersApp, started: httpx.Response, code: str, **more: str) -> httpx.Response:
    body = {"registration_token": started.json()["registration_token"], "code": code, **more}
    return await app.http.post(f"{USERS}/registration/confirm", json=body)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def invite(app: UsersApp, admin: Any, email: str, **rights: Any) -> httpx.Response:
    headers = app.as_(admin.id)
    return await app.http.post(f"{USERS}/invitations", headers=headers, json={"email": email, **rights})
