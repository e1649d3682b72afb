"""A second auth on the same database and bus: what holds, holds whichever of the two is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.messaging.memory import MemoryBus
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.servers.databases import Databases


@pytest.fixture
async def replica(auth_app: AuthApp, databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    """Beside `auth_app`."""
    async with running_auth(auth_settings(databases, keys), bus) as app:
        yield app
