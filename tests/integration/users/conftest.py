"""Users alone, its public keys at a real address; what it tells auth is read from the bus, or from its outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.messaging.events import AccountChanged, UsersNoticeRequested
from shared.messaging.memory import MemoryBus
from tests.composed import jwks_url, keys, users_app
from tests.fakes import HeldBus
from tests.servers.databases import Databases, connected

__all__ = ("jwks_url", "keys", "users_app")


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """Takes no event, so that each stays in the outbox to be looked at."""
    bus = HeldBus(AccountChanged.type, UsersNoticeRequested.type)
    yield bus
    await bus.close()


@pytest.fixture
async def sql(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """What the tables of users hold."""
    async with connected(databases.users_url) as connection:
        yield connection
