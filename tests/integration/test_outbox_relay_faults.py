"""Whatever goes wrong between an outbox and the bus, its rows stay until they are confirmed, and the relay lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.pool import Database
from shared.messaging import relay as relay_module
from shared.messaging.bus import BusUnavailable, Message, Rejected, Unroutable
from shared.messaging.relay import Pace
from tests.integration.outbox_relays import NO_POLL, QUICK_POLL, Outbox, outbox_of_auth
from tests.polling import eventually
from tests.servers.databases import Databases, connected

__all__ = ("outbox_of_auth",)

Trouble = Callable[[Message], Awaitable[None]]


@pytest.fixture
def backoffs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the relay paused after each success, or at its start, because a round had failed."""
    counted: list[int] = []

    def short_pauses() -> Iterator[float]:
        counted.append(0)
        return endless(len(counted) - 1)

    def endless(number: int) -> Iterator[float]:
        while True:
            counted[number] += 1
            yield 0.01

    monkeypatch.setattr(relay_module, "pauses", short_pauses)
    return counted


def raising(error: BaseException) -> Trouble:
    async def trouble(_message: Message) -> None:
        raise error

    return trouble


@pytest.mark.parametrize(
    "error",
    [
        BusUnavailable("no connection"),
        Unroutable("no queue"),
        Rejected("full"),
        ConnectionResetError("reset"),
        RuntimeError("a bug"),
        TimeoutError(),
        asyncio.CancelledError(),  # a stuck connection raises it in tasks that nobody cancelled
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_the_bus_does_not_take_stays_and_is_tried_again_with_a_backoff(
    outbox_of_auth: Outbox, backoffs: list[int], error: BaseException
) -> None:
    outbox_of_auth.bus.before = raising(error)
    relay = outbox_of_auth.relay(NO_POLL)
    (event,) = await outbox_of_auth.commit()

    await eventually(lambda: len(outbox_of_auth.bus.attempts) >= 3)
    assert await outbox_of_auth.rows() == 1
    assert relay.alive
    assert max(backoffs) >= 2

    outbox_of_auth.bus.before = None
    await eventually(outbox_of_auth.is_empty)
    assert outbox_of_auth.delivered.event_ids == {event}
    assert relay.alive


async def test_a_success_ends_the_backoff(outbox_of_auth: Outbox, backoffs: list[int]) -> None:
    outbox_of_auth.bus.before = raising(BusUnavailable("no connection"))
    outbox_of_auth.relay(NO_POLL)
    await outbox_of_auth.commit()
    await eventually(lambda: backoffs[-1] >= 2)
    begun = len(backoffs)

    outbox_of_auth.bus.before = None
    await eventually(outbox_of_auth.is_empty)

    await eventually(lambda: len(backoffs) > begun)
    assert backoffs[-1] == 0


async def test_a_commit_during_a_backoff_does_not_cut_it_short(
    outbox_of_auth: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = asyncio.Event()

    def one_long_pause() -> Iterator[float]:
        paused.set()
        yield 3600.0

    monkeypatch.setattr(relay_module, "pauses", one_long_pause)
    outbox_of_auth.bus.before = raising(BusUnavailable("no connection"))
    relay = outbox_of_auth.relay(QUICK_POLL)
    await outbox_of_auth.commit()
    await eventually(lambda: outbox_of_auth.bus.attempts)
    outbox_of_auth.bus.before = None

    await outbox_of_auth.commit()
    assert await outbox_of_auth.rows() == 2
    assert len(outbox_of_auth.bus.attempts) == 1

    await relay.stop(grace=10)  # but the end of the process does
    assert await outbox_of_auth.is_empty()


async def test_a_time_out_means_unknown_and_the_event_is_published_again(
    outbox_of_auth: Outbox, backoffs: list[int]
) -> None:
    async def never(_message: Message) -> None:
        await asyncio.Event().wait()

    outbox_of_auth.bus.before = never
    outbox_of_auth.relay(Pace(poll=3600, publish_timeout=0.05))
    (event,) = await outbox_of_auth.commit()
    await eventually(lambda: len(outbox_of_auth.bus.attempts) >= 2)
    assert await outbox_of_auth.rows() == 1

    outbox_of_auth.bus.before = None
    await eventually(outbox_of_auth.is_empty)
    assert outbox_of_auth.delivered.event_ids == {event}


async def test_a_confirm_that_got_lost_gives_a_repeat_and_no_loss(outbox_of_auth: Outbox, backoffs: list[int]) -> None:
    async def never(_message: Message) -> None:
        await asyncio.Event().wait()

    outbox_of_auth.bus.after = never
    outbox_of_auth.relay(Pace(poll=3600, publish_timeout=0.05))
    (event,) = await outbox_of_auth.commit()
    await eventually(lambda: outbox_of_auth.delivered.deliveries)

    outbox_of_auth.bus.after = None
    await eventually(outbox_of_auth.is_empty)
    assert [delivery.event_id for delivery in outbox_of_auth.delivered.deliveries][:2] == [event, event]


async def test_of_a_batch_only_what_was_not_confirmed_stays(outbox_of_auth: Outbox, backoffs: list[int]) -> None:
    first, refused, last = await outbox_of_auth.commit(3)

    async def refuse_one(message: Message) -> None:
        if message.event_id == refused:
            raise Rejected("full")

    outbox_of_auth.bus.before = refuse_one
    outbox_of_auth.relay(NO_POLL)

    await eventually(lambda: outbox_of_auth.bus.attempted.count(refused) >= 3)
    assert outbox_of_auth.bus.attempted.count(first) == outbox_of_auth.bus.attempted.count(last) == 1
    assert await outbox_of_auth.rows() == 1


# --- the database's side


class LeakyDatabase(Database):
    """Its first transactions end in a CancelledError that nobody asked for, as those of a stuck driver do."""

    leaks = 3

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        if self.leaks:
            self.leaks -= 1
            raise asyncio.CancelledError
        async with super().transaction() as connection:
            yield connection


async def test_a_cancelled_error_that_leaks_from_a_library_does_not_end_the_relay(
    outbox_of_auth: Outbox, databases: Databases, backoffs: list[int]
) -> None:
    leaky = LeakyDatabase(databases.auth_url)
    relay = outbox_of_auth.relay(QUICK_POLL, database=leaky)
    (event,) = await outbox_of_auth.commit()
    await eventually(lambda: outbox_of_auth.delivered.event_ids == {event})
    assert relay.alive
    assert leaky.leaks == 0
    await relay.stop(grace=5)
    await leaky.close()


async def test_a_real_cancellation_does_end_it(outbox_of_auth: Outbox) -> None:
    relay = outbox_of_auth.relay()
    assert relay._task is not None
    relay._task.cancel()
    await eventually(lambda: not relay.alive)


async def test_a_relay_whose_connection_is_killed_in_the_middle_publishes_again_and_lives(
    outbox_of_auth: Outbox, databases: Databases, backoffs: list[int]
) -> None:
    confirmed = asyncio.Event()

    async def unconfirmed(_message: Message) -> None:
        await confirmed.wait()

    outbox_of_auth.bus.before = unconfirmed
    relay = outbox_of_auth.relay(QUICK_POLL)
    (event,) = await outbox_of_auth.commit()
    await eventually(lambda: outbox_of_auth.bus.attempts)

    await kill_connections(databases)
    confirmed.set()

    await eventually(outbox_of_auth.is_empty)
    assert set(outbox_of_auth.bus.attempted) == {event}
    assert len(outbox_of_auth.bus.attempts) >= 2
    assert relay.alive


async def test_a_relay_that_finds_its_claim_older_than_the_lease_publishes_nothing(
    outbox_of_auth: Outbox, backoffs: list[int]
) -> None:
    sleeper = outbox_of_auth.relay(Pace(poll=3600, lease=0))  # every claim is older
    (event,) = await outbox_of_auth.commit()
    await eventually(lambda: max(backoffs) >= 2)
    assert outbox_of_auth.bus.attempts == []
    assert sleeper.alive

    outbox_of_auth.relay(QUICK_POLL, database=outbox_of_auth.elsewhere)

    await eventually(lambda: outbox_of_auth.delivered.event_ids == {event})


async def kill_connections(databases: Databases) -> None:
    async with connected(databases.admin_url) as admin:
        killed = await admin.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert killed >= 1


# --- what an operator sees


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"login2fa_outbox_{name}", {"service": "auth"}) or 0


async def test_the_metrics_count_confirmed_and_failed_events_and_tell_the_age_of_the_oldest(
    outbox_of_auth: Outbox, backoffs: list[int]
) -> None:
    published, failed = metric("published_total"), metric("failed_total")
    outbox_of_auth.bus.before = raising(BusUnavailable("no connection"))
    outbox_of_auth.relay(Pace(poll=0.02, batch=2))
    await outbox_of_auth.commit(3)
    await eventually(lambda: metric("failed_total") >= failed + 2)
    assert metric("published_total") == published
    await eventually(lambda: metric("oldest_seconds") > 0)
    await eventually(lambda: metric("rows") == 3)  # more than a batch
    last_round = metric("last_round_timestamp_seconds")

    outbox_of_auth.bus.before = None
    await eventually(lambda: metric("published_total") == published + 3)
    await outbox_of_auth.commit()
    await eventually(lambda: metric("published_total") == published + 4)
    await eventually(lambda: metric("rows") == metric("oldest_seconds") == 0)
    assert metric("last_round_timestamp_seconds") > last_round


async def test_while_the_database_is_away_the_time_of_the_last_round_stands_still(
    outbox_of_auth: Outbox, backoffs: list[int]
) -> None:
    away = Database("postgresql://auth@127.0.0.1:1/nothing")
    outbox_of_auth.relay(database=away)
    started = metric("last_round_timestamp_seconds")
    await eventually(lambda: sum(backoffs) >= 2)
    assert metric("last_round_timestamp_seconds") == started > time.time() - 60
    await away.close()
