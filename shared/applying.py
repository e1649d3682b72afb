"""Events that change a service's own tables: each in one transaction, and again later while the database is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.broker.bus import Delivery, Done, GiveUp, Handler, Outcome, Retry
from shared.database import Database, unavailable
from shared.events import Event, MalformedEvent
from shared.sealing import Unsealable

E = TypeVar("E", bound=Event)


def applying(
    database: Database, event_type: type[E], apply: Callable[[AsyncConnection, E], Awaitable[None]]
) -> Handler:
    """The handler of such an event: given up where it, or `apply`, finds it malformed or can not open its seal."""

    async def handle(delivery: Delivery) -> Outcome:
        try:
            event = event_type.from_message(delivery)
            async with database.transaction() as connection:
                await apply(connection, event)
        except (MalformedEvent, Unsealable) as error:
            return GiveUp(f"{type(error).__name__}: {error}")
        except (SQLAlchemyError, OSError) as error:
            if not unavailable(error):
                raise
            return Retry("database unavailable")
        return Done()

    return handle
