"""Users alone, its public keys at a real address; what it tells auth is read from the bus, or from its outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from shared.messaging.address_events import CodePurpose, CodeRequested
from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.messaging.notice_events import UsersNoticeRequested
from shared.messaging.public_events import AccountPublic
from tests.composed import Keys, jwks_url, keys, users_app
from tests.fakes import HeldBus
from tests.servers.databases import Databases, connected

__all__ = ("jwks_url", "keys", "users_app")


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """Takes no event, so that each stays in the outbox to be looked at."""
    bus = HeldBus(AccountChanged.type, AccountPublic.type, UsersNoticeRequested.type, CodeRequested.type)
    yield bus
    await bus.close()


@dataclass(frozen=True, slots=True)
class SentCodes:
    """Codes that wait in the outbox for the notifier."""

    sql: asyncpg.Connection
    keys: Keys

    async def all(self, email: str, purpose: CodePurpose) -> list[str]:
        rows = await self.sql.fetch("SELECT body FROM outbox WHERE type = $1 ORDER BY id", CodeRequested.type)
        events = [CodeRequested.model_validate_json(row["body"]) for row in rows]
        wanted = [event for event in events if (event.email, event.purpose) == (email, purpose)]
        return [self.keys.mailed_sealer.open(event.sealed_code, event.code_context) for event in wanted]

    async def latest(self, email: str, purpose: CodePurpose) -> str:
        return (await self.all(email, purpose))[-1]


@pytest.fixture
def sent(sql: asyncpg.Connection, keys: Keys) -> SentCodes:
    return SentCodes(sql, keys)


@pytest.fixture
async def sql(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """What the tables of users hold."""
    async with connected(databases.users_url) as connection:
        yield connection
