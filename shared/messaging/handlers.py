"""Event handlers that change a service's own tables; while the database is unavailable, no attempt is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.pool import Database, is_transient
from shared.messaging.bus import Delivery, Done, GiveUp, Handler, Outcome, Retry
from shared.messaging.events import Event, MalformedEvent
from shared.sealing import Unsealable

E = TypeVar("E", bound=Event)

# Seconds after a transaction in which events gather for the next one; a lone event does not wait.
GATHERING = 0.05


def event_handler(
    database: Database, event_type: type[E], apply: Callable[[AsyncConnection, E], Awaitable[None]]
) -> Handler:
    """Run `apply` in a transaction; give up an event that is malformed or cannot be unsealed."""

    async def in_a_transaction(event: E) -> None:
        async with database.transaction() as connection:
            await apply(connection, event)

    return _handling(event_type, in_a_transaction)


def batched_event_handler(
    database: Database,
    event_type: type[E],
    apply: Callable[[AsyncConnection, Sequence[E]], Awaitable[None]],
    applied: Callable[[E], None],
) -> Handler:
    """Like `event_handler`, but events that arrive within `GATHERING` of a transaction share the next one.

    An error fails the whole batch, so `apply` must not fail for a single event. `applied` gets each committed event.
    """
    batches = _Batches(database, apply)

    async def in_a_batch(event: E) -> None:
        await batches.join(event)
        applied(event)

    return _handling(event_type, in_a_batch)


def _handling(event_type: type[E], carry_out: Callable[[E], Awaitable[None]]) -> Handler:
    async def handle(delivery: Delivery) -> Outcome:
        try:
            await carry_out(event_type.from_message(delivery))
        except (MalformedEvent, Unsealable) as error:
            return GiveUp(f"{type(error).__name__}: {error}")
        except (SQLAlchemyError, OSError) as error:
            if not is_transient(error):
                raise
            return Retry("database unavailable", tried=False)  # not the event's fault, so it counts as no attempt
        return Done()

    return handle


class _Batches(Generic[E]):
    def __init__(self, database: Database, apply: Callable[[AsyncConnection, Sequence[E]], Awaitable[None]]) -> None:
        self._database = database
        self._apply = apply
        self._waiting: list[tuple[E, asyncio.Future[None]]] = []
        self._transactions: asyncio.Task[None] | None = None

    async def join(self, event: E) -> None:
        """Return after the commit of the event's transaction; raise what the transaction raised."""
        ended = asyncio.get_running_loop().create_future()
        self._waiting.append((event, ended))
        if self._transactions is None or self._transactions.done():
            self._transactions = asyncio.create_task(self._until_none_waits(), name="event_handler together")
        await ended

    async def _until_none_waits(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            failure = await self._in_a_transaction([event for event, _ in batch])
            for _, ended in batch:
                if ended.done():
                    continue  # its handler was cancelled
                if failure is None:
                    ended.set_result(None)
                else:
                    ended.set_exception(failure)
            # A backlog arrives two or three events at a time, and a transaction costs as much as writing fifty.
            await asyncio.sleep(GATHERING)

    async def _in_a_transaction(self, events: Sequence[E]) -> BaseException | None:
        try:
            async with self._database.transaction() as connection:
                await self._apply(connection, events)
        except asyncio.CancelledError:
            # A stuck connection raises this in tasks that nobody cancelled; `join` would wait for ever.
            return TimeoutError("cancelled from within")
        except Exception as error:  # noqa: BLE001 - raised again in the handler of each event
            return error
        return None
