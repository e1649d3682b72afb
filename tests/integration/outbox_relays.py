"""Relays over the outbox of auth on a real Postgres, with a bus that gets into trouble on command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, select

from services.auth.tables import outbox
from shared.database.pool import Database
from shared.messaging.events import OtpRequested
from shared.messaging.outbox import add
from shared.messaging.relay import Pace, Relay
from shared.messaging.signed import SignedBus
from shared.messaging.topology import OTP_DELIVERY
from shared.sealing import Sealer
from tests import edge_keys
from tests.builders import otp_requested
from tests.fakes import TroubledBus
from tests.recording import Recorder
from tests.servers.databases import Databases

SEALER = Sealer([Fernet.generate_key().decode()])

# Only a commit of its own process wakes it.
NO_POLL = Pace(poll=3600)
QUICK_POLL = Pace(poll=0.02)


@dataclass
class Outbox:
    """`database` is that of the relays; `elsewhere` another replica's, whose commits wake none of them."""

    database: Database
    elsewhere: Database
    bus: TroubledBus
    delivered: Recorder
    relays: list[Relay] = field(default_factory=list)

    def relay(self, pace: Pace = NO_POLL, *, database: Database | None = None, started: bool = True) -> Relay:
        relay = Relay("auth", database or self.database, outbox, SignedBus(self.bus, edge_keys.ALL), pace)
        self.relays.append(relay)
        if started:
            relay.start()
        return relay

    async def commit(self, count: int = 1, *, by: Database | None = None) -> list[str]:
        """Write events in one transaction; returns their ids."""
        events: list[OtpRequested] = [otp_requested(SEALER) for _ in range(count)]
        async with (by or self.database).transaction() as connection:
            for event in events:
                await add(connection, outbox, event)
        return [str(event.event_id) for event in events]

    async def rows(self) -> int:
        async with self.elsewhere.transaction() as connection:
            return int((await connection.execute(select(func.count()).select_from(outbox))).scalar_one())

    async def is_empty(self) -> bool:
        return await self.rows() == 0


@pytest.fixture
async def outbox_of_auth(databases: Databases) -> AsyncIterator[Outbox]:
    made = Outbox(Database(databases.auth_url), Database(databases.auth_url), TroubledBus(), Recorder())
    await made.bus.consume(OTP_DELIVERY.queue, made.delivered, concurrency=100)
    yield made
    made.bus.before = made.bus.after = None
    for relay in made.relays:
        await relay.stop(grace=0)
    await made.bus.close()
    await made.database.close()
    await made.elsewhere.close()
