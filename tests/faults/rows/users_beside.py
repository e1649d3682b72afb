"""Users beside the way of a code: on the same broker and database, for what it tells and what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.messaging.amqp import AmqpBus
from tests.composed import Keys, UsersApp, running_users, users_settings
from tests.integration.codes_path import CodesPath
from tests.servers.databases import Databases
from tests.serving_jwks import serving_jwks


@asynccontextmanager
async def users_with(path: CodesPath, databases: Databases, keys: Keys) -> AsyncIterator[UsersApp]:
    bus = AmqpBus(path.amqp_url, name="users")
    try:
        async with (
            serving_jwks(keys.folder) as url,
            running_users(users_settings(databases, keys, url), keys, bus) as users,
        ):
            yield users
    finally:
        await bus.close()


@pytest.fixture
async def users(path: CodesPath, databases: Databases, keys: Keys) -> AsyncIterator[UsersApp]:
    async with users_with(path, databases, keys) as users:
        yield users
