"""The outbox and the relay publish each committed event, and none that was rolled back (shared.messaging)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import text

from services.auth.tables import outbox
from shared.database.pool import Database
from shared.messaging.bus import Message
from shared.messaging.events import Event
from shared.messaging.outbox import add
from shared.messaging.relay import Pace
from shared.observability.correlation import correlation_id
from tests import edge_keys
from tests.builders import otp_requested
from tests.integration.outbox_relays import NO_POLL, QUICK_POLL, SEALER, Outbox, outbox_of_auth
from tests.polling import eventually
from tests.sql_statements import statements_of

__all__ = ("outbox_of_auth",)


class MindChanged(Exception):
    """In the middle of a transaction."""


async def roll_back(database: Database, event: Event) -> None:
    with pytest.raises(MindChanged):
        await _add_and_fail(database, event)


async def _add_and_fail(database: Database, event: Event) -> None:
    async with database.transaction() as connection:
        await add(connection, outbox, event)
        raise MindChanged


async def test_a_committed_event_is_published_at_once_and_its_row_removed(outbox_of_auth: Outbox) -> None:
    outbox_of_auth.relay(NO_POLL)
    await eventually(outbox_of_auth.is_empty)

    (event,) = await outbox_of_auth.commit()

    await eventually(lambda: outbox_of_auth.delivered.event_ids == {event})
    await eventually(outbox_of_auth.is_empty)


async def test_an_event_that_was_rolled_back_is_never_published(outbox_of_auth: Outbox) -> None:
    outbox_of_auth.relay(NO_POLL)
    await roll_back(outbox_of_auth.database, otp_requested(SEALER))

    (later,) = await outbox_of_auth.commit()

    await eventually(outbox_of_auth.is_empty)
    assert outbox_of_auth.bus.attempted == [later]


async def test_an_event_is_not_published_before_its_transaction_has_committed(outbox_of_auth: Outbox) -> None:
    outbox_of_auth.relay(QUICK_POLL)
    event = otp_requested(SEALER)
    async with outbox_of_auth.database.transaction() as connection:
        await add(connection, outbox, event)
        (other,) = await outbox_of_auth.commit(by=outbox_of_auth.elsewhere)
        await eventually(lambda: outbox_of_auth.delivered.event_ids == {other})
    await eventually(lambda: outbox_of_auth.delivered.event_ids == {other, str(event.event_id)})


async def test_a_transaction_wakes_the_relay_if_and_only_if_it_has_committed_an_event(outbox_of_auth: Outbox) -> None:
    database = outbox_of_auth.database
    async with database.transaction() as connection:
        await connection.execute(text("SELECT 1"))
    await roll_back(database, otp_requested(SEALER))
    async with database.transaction() as connection:  # on the same pooled connection
        await connection.execute(text("SELECT 1"))
    assert not database.committed.is_set()

    async with database.transaction() as connection:
        await add(connection, outbox, otp_requested(SEALER))
        assert not database.committed.is_set()
    assert database.committed.is_set()


async def test_an_event_that_a_dead_replica_left_is_found_by_the_poll(outbox_of_auth: Outbox) -> None:
    outbox_of_auth.relay(QUICK_POLL)
    await eventually(outbox_of_auth.is_empty)

    (event,) = await outbox_of_auth.commit(by=outbox_of_auth.elsewhere)

    await eventually(lambda: outbox_of_auth.delivered.event_ids == {event})


async def test_what_waits_in_the_outbox_is_published_at_the_start(outbox_of_auth: Outbox) -> None:
    events = await outbox_of_auth.commit(3)
    outbox_of_auth.relay(NO_POLL)
    await eventually(lambda: outbox_of_auth.delivered.event_ids == set(events))


async def test_a_backlog_of_many_batches_goes_out_without_a_pause_between_them(outbox_of_auth: Outbox) -> None:
    events = await outbox_of_auth.commit(25)
    outbox_of_auth.relay(Pace(poll=3600, batch=10))
    await eventually(outbox_of_auth.is_empty)
    assert outbox_of_auth.bus.attempted == events


@pytest.mark.parametrize("events", [1, 25])
async def test_a_batch_costs_three_statements_however_large_it_is(outbox_of_auth: Outbox, events: int) -> None:
    await outbox_of_auth.commit(events, by=outbox_of_auth.elsewhere)

    with statements_of(outbox_of_auth.database) as statements:
        relay = outbox_of_auth.relay(NO_POLL)
        await eventually(outbox_of_auth.is_empty)
        await relay.stop(grace=10)

    claim = ["SET LOCAL", "SELECT auth.outbox"]
    last_look = claim  # at its stop
    assert statements == [*claim, "DELETE auth.outbox", *last_look]


async def test_a_message_is_its_row_and_carries_the_correlation_id_of_its_request(outbox_of_auth: Outbox) -> None:
    event = otp_requested(SEALER)
    token = correlation_id.set("request-7")
    async with outbox_of_auth.database.transaction() as connection:
        await add(connection, outbox, event)
    correlation_id.reset(token)

    outbox_of_auth.relay()

    await eventually(outbox_of_auth.is_empty)
    (sent,) = outbox_of_auth.bus.attempts
    assert edge_keys.ALL.verify(sent)
    assert [replace(sent, published_at=None, mac="")] == [
        Message(
            routing_key="auth.otp_requested.v1",
            body=event.to_body().encode(),
            event_id=str(event.event_id),
            correlation_id="request-7",
        )
    ]
    assert outbox_of_auth.delivered.deliveries[0].correlation_id == "request-7"


async def test_a_message_says_by_the_databases_clock_when_it_was_claimed_and_not_when_it_was_written(
    outbox_of_auth: Outbox,
) -> None:
    async def database_clock() -> datetime:
        async with outbox_of_auth.elsewhere.transaction() as connection:
            moment: datetime = (await connection.execute(text("SELECT now()"))).scalar_one()
            return moment

    await outbox_of_auth.commit()
    written = await database_clock()

    outbox_of_auth.relay()
    await eventually(outbox_of_auth.is_empty)

    stamp = outbox_of_auth.bus.attempts[0].published_at
    assert stamp is not None
    assert written < stamp < await database_clock()


async def test_two_relays_share_the_rows_and_publish_none_twice(outbox_of_auth: Outbox) -> None:
    confirmed = asyncio.Event()

    async def unconfirmed(_message: Message) -> None:
        await confirmed.wait()

    outbox_of_auth.bus.before = unconfirmed
    events = await outbox_of_auth.commit(200, by=outbox_of_auth.elsewhere)
    pace = Pace(poll=0.02, batch=50)
    outbox_of_auth.relay(pace)
    outbox_of_auth.relay(pace, database=outbox_of_auth.elsewhere)

    await eventually(lambda: len(outbox_of_auth.bus.attempts) == 100)  # each holds a batch of its own
    assert len(set(outbox_of_auth.bus.attempted)) == 100
    confirmed.set()

    await eventually(outbox_of_auth.is_empty)
    assert sorted(outbox_of_auth.bus.attempted) == sorted(events)


# --- the end


async def test_stop_publishes_all_that_is_committed(outbox_of_auth: Outbox) -> None:
    relay = outbox_of_auth.relay(Pace(poll=3600, batch=10))
    await eventually(outbox_of_auth.is_empty)
    events = await outbox_of_auth.commit(25, by=outbox_of_auth.elsewhere)  # it does not know of them

    await relay.stop(grace=10)

    assert outbox_of_auth.delivered.event_ids == set(events)
    assert await outbox_of_auth.is_empty()


async def test_stop_lets_a_round_that_is_under_way_finish(outbox_of_auth: Outbox) -> None:
    confirmed = asyncio.Event()

    async def unconfirmed(_message: Message) -> None:
        await confirmed.wait()

    outbox_of_auth.bus.before = unconfirmed
    relay = outbox_of_auth.relay()
    await outbox_of_auth.commit()
    await eventually(lambda: outbox_of_auth.bus.attempts)

    stopping = asyncio.create_task(relay.stop(grace=30))
    await eventually(relay._stopping.is_set)
    confirmed.set()
    await stopping

    assert len(outbox_of_auth.bus.attempts) == 1
    assert await outbox_of_auth.is_empty()


async def test_stop_does_not_wait_longer_than_its_grace_and_loses_nothing(outbox_of_auth: Outbox) -> None:
    async def never(_message: Message) -> None:
        await asyncio.Event().wait()

    outbox_of_auth.bus.before = never
    relay = outbox_of_auth.relay()
    await outbox_of_auth.commit()
    await eventually(lambda: outbox_of_auth.bus.attempts)

    async with asyncio.timeout(10):  # fails here rather than never
        await relay.stop(grace=0.05)

    assert not relay.alive
    assert await outbox_of_auth.rows() == 1


async def test_stop_before_the_start_and_a_second_stop_do_nothing(outbox_of_auth: Outbox) -> None:
    relay = outbox_of_auth.relay(started=False)
    await relay.stop(grace=1)
    relay.start()
    await relay.stop(grace=1)
    await relay.stop(grace=1)
    assert not relay.alive


# --- readiness


async def test_a_relay_is_alive_from_its_start_to_its_end(outbox_of_auth: Outbox) -> None:
    relay = outbox_of_auth.relay(started=False)
    assert not relay.alive
    relay.start()
    assert relay.alive
    await relay.stop(grace=1)
    assert not relay.alive


async def test_a_relay_whose_round_does_not_end_is_not_alive_until_it_does(outbox_of_auth: Outbox) -> None:
    confirmed = asyncio.Event()

    async def unconfirmed(_message: Message) -> None:
        await confirmed.wait()

    outbox_of_auth.bus.before = unconfirmed
    relay = outbox_of_auth.relay(Pace(poll=0.01, publish_timeout=3600, considered_stuck=0.5))
    await outbox_of_auth.commit()
    await eventually(lambda: outbox_of_auth.bus.attempts)

    await eventually(lambda: not relay.alive)
    confirmed.set()
    await eventually(lambda: relay.alive)
