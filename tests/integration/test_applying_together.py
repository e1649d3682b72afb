"""Events that are applied together: one transaction for a crowd, and each is done when that one has committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.pool import Database
from shared.messaging import handlers
from shared.messaging.bus import Done, GiveUp, Outcome, Retry
from shared.messaging.events import SessionEnded
from shared.messaging.handlers import batched_event_handler
from tests.builders import delivery, session_ended
from tests.polling import eventually
from tests.servers.databases import Databases


class Crowds:
    """Notes whom each transaction is for, and lets it go on when `open` is set; then fails with `failure`, if any."""

    def __init__(self, database: Database) -> None:
        self.transactions: list[list[UUID]] = []
        self.applied: list[UUID] = []
        self.open = asyncio.Event()
        self.failure: BaseException | None = None
        self._handler = batched_event_handler(
            database, SessionEnded, self._apply, lambda event: self.applied.append(event.event_id)
        )

    async def _apply(self, connection: AsyncConnection, events: Sequence[SessionEnded]) -> None:
        self.transactions.append([event.event_id for event in events])
        await self.open.wait()
        await connection.execute(text("INSERT INTO noted SELECT 1"))
        if self.failure is not None:
            raise self.failure

    def handle(self, *events: SessionEnded) -> list[asyncio.Task[Outcome]]:
        return [asyncio.ensure_future(self._handler(delivery(event))) for event in events]


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    database = Database(databases.admin_url)
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE noted (id int)"))
    yield database
    await database.close()


@pytest.fixture
def crowds(database: Database) -> Crowds:
    return Crowds(database)


async def committed(database: Database) -> int:
    async with database.transaction() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM noted"))).scalar_one())


def ids(events: Sequence[SessionEnded]) -> list[UUID]:
    return [event.event_id for event in events]


async def test_events_that_come_while_a_transaction_runs_share_the_next_one(crowds: Crowds, database: Database) -> None:
    first, others = session_ended(), [session_ended() for _ in range(5)]
    handled = crowds.handle(first)
    await eventually(lambda: crowds.transactions)

    handled += crowds.handle(*others)
    crowds.open.set()

    assert await asyncio.gather(*handled) == [Done()] * 6
    assert crowds.transactions == [[first.event_id], ids(others)]
    assert await committed(database) == 2
    assert crowds.applied == [first.event_id, *ids(others)]


async def test_events_that_trickle_in_after_a_transaction_share_the_next_one(
    crowds: Crowds, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "GATHERING", 1.0)
    crowds.open.set()
    first, others = session_ended(), [session_ended() for _ in range(5)]
    assert await asyncio.gather(*crowds.handle(first)) == [Done()]

    handled = []
    for event in others:
        handled += crowds.handle(event)
        await committed(database)  # as long as a transaction takes

    assert await asyncio.gather(*handled) == [Done()] * 5
    assert crowds.transactions == [[first.event_id], ids(others)]


async def test_none_is_done_before_its_transaction_has_committed(crowds: Crowds, database: Database) -> None:
    handled = crowds.handle(session_ended(), session_ended())
    await eventually(lambda: crowds.transactions)
    assert not any(each.done() for each in handled)
    assert crowds.applied == []

    crowds.open.set()
    await asyncio.wait(handled, return_when=asyncio.FIRST_COMPLETED)

    assert await committed(database) == 1


@pytest.mark.parametrize(
    "failure",
    [ConnectionResetError("by a test"), TimeoutError(), asyncio.CancelledError()],  # a stuck connection raises the last
    ids=lambda failure: type(failure).__name__,
)
async def test_all_of_a_crowd_are_put_off_when_the_database_is_away_and_those_that_follow_are_applied(
    crowds: Crowds, database: Database, failure: BaseException
) -> None:
    crowds.open.set()
    crowds.failure = failure
    crowd = [session_ended() for _ in range(3)]
    assert await asyncio.gather(*crowds.handle(*crowd)) == [Retry("database unavailable", tried=False)] * 3
    assert (await committed(database), crowds.applied) == (0, [])

    crowds.failure = None
    assert await asyncio.gather(*crowds.handle(*crowd)) == [Done()] * 3
    assert crowds.applied == ids(crowd)


async def test_a_bug_shows_in_each_of_them_and_does_not_stop_those_that_follow(crowds: Crowds) -> None:
    crowds.open.set()
    crowds.failure = ZeroDivisionError("by a test")
    outcomes = await asyncio.gather(*crowds.handle(session_ended(), session_ended()), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, ZeroDivisionError]

    crowds.failure = None
    assert await asyncio.gather(*crowds.handle(session_ended())) == [Done()]


async def test_one_whose_handler_is_cancelled_leaves_the_others_alone(crowds: Crowds, database: Database) -> None:
    leaving, staying = crowds.handle(session_ended(), session_ended())
    await eventually(lambda: crowds.transactions)

    leaving.cancel()
    crowds.open.set()

    assert await staying == Done()
    assert leaving.cancelled()
    assert await committed(database) == 1


async def test_what_is_malformed_is_given_up_alone(crowds: Crowds) -> None:
    crowds.open.set()
    event = session_ended()

    bad, good = await asyncio.gather(
        crowds._handler(delivery(event, body=b'{"event_id": "519273"}')), crowds._handler(delivery(event))
    )

    assert isinstance(bad, GiveUp)
    assert good == Done()
    assert crowds.transactions == [[event.event_id]]
