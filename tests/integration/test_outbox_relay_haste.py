"""A code waits for as little as can be on its way out of the outbox: shared.messaging.relay."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from sqlalchemy import Connection, text
from sqlalchemy.event import listen

from services.auth.tables import outbox
from shared.messaging.audit_events import AuthAudited
from shared.messaging.bus import Message
from shared.messaging.outbox import add
from shared.messaging.relay import Pace
from tests.builders import otp_requested
from tests.integration.outbox_relays import SEALER, Outbox, outbox_of_auth
from tests.polling import eventually

__all__ = ("outbox_of_auth",)


async def test_the_audit_trail_leaves_when_the_broker_has_what_somebody_waits_for(outbox_of_auth: Outbox) -> None:
    bus, has_it = outbox_of_auth.bus, asyncio.Event()

    async def waiting(_message: Message) -> None:
        await has_it.wait()

    bus.after = waiting
    outbox_of_auth.relay()
    code, record = await a_code_and_a_record(outbox_of_auth)

    await eventually(lambda: bus.attempted)
    assert bus.attempted == [code]
    has_it.set()

    await eventually(outbox_of_auth.is_empty)
    assert bus.attempted == [code, record]


async def test_behind_a_code_that_is_not_confirmed_in_time_the_audit_trail_stays(outbox_of_auth: Outbox) -> None:
    bus = outbox_of_auth.bus

    async def never(_message: Message) -> None:
        await asyncio.Event().wait()

    bus.after = never
    outbox_of_auth.relay(Pace(poll=3600, publish_timeout=0.05))
    code, record = await a_code_and_a_record(outbox_of_auth)

    await eventually(lambda: len(bus.attempted) > 1)
    assert set(bus.attempted) == {code}
    bus.after = None

    await eventually(outbox_of_auth.is_empty)
    assert bus.attempted[-2:] == [code, record]


async def test_a_relay_that_is_to_stop_has_done_with_a_code_before_it_sends_the_audit_trail(
    outbox_of_auth: Outbox,
) -> None:
    bus, has_it = outbox_of_auth.bus, asyncio.Event()
    left: list[int] = []

    async def waiting(message: Message) -> None:
        await has_it.wait()
        if message.event_id == record:
            left.append(await outbox_of_auth.rows())

    bus.after = waiting
    relay = outbox_of_auth.relay()
    code, record = await a_code_and_a_record(outbox_of_auth)
    await eventually(lambda: bus.attempted)
    stopping = asyncio.create_task(relay.stop(grace=60))
    await eventually(relay._stopping.is_set)

    has_it.set()
    await stopping

    assert bus.attempted == [code, record]
    assert left == [1]


async def a_code_and_a_record(outbox_of_auth: Outbox) -> tuple[str, str]:
    """In one transaction, the record first; the ids of both events."""
    code = otp_requested(SEALER)
    record = AuthAudited(occurred_at=datetime.now(UTC), act="login", outcome="ok")
    async with outbox_of_auth.database.transaction() as connection:
        await add(connection, outbox, record, code)
    return str(code.event_id), str(record.event_id)


async def test_a_claim_reads_no_more_rows_than_it_takes_whatever_the_planner_knows(outbox_of_auth: Outbox) -> None:
    database, read = outbox_of_auth.database, list[tuple[int, int]]()

    def note(connection: Connection) -> None:
        scans = "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relid = 'auth.outbox'::regclass"
        read.append(tuple(connection.execute(text(scans)).one()))

    await outbox_of_auth.commit(50)
    async with outbox_of_auth.elsewhere.statement() as connection:
        await connection.execute(text("ANALYZE auth.outbox"))  # so few of them are rather read and sorted
    listen(database._engine.sync_engine, "commit", note)
    outbox_of_auth.relay()

    await eventually(outbox_of_auth.is_empty)

    (first, *_others) = read
    assert first[0] == 0
    assert first[1] > 0
