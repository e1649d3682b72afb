"""The transactional outbox: an event is a row, written in the same transaction as the change that it reports."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ARRAY, CTE, Insert, Table, Text, Uuid, bindparam, cast, column, func, insert, select, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from shared.database.pool import wake_after_commit
from shared.messaging.events import Event
from shared.observability.correlation import correlation_id
from shared.observability.tracing import traceparent


async def add(connection: AsyncConnection, outbox: Table, *events: Event) -> None:
    """Insert all `events` in one round trip."""
    await connection.execute(_added(outbox), event_params(*events))
    wake_relay(connection, *events)


def wake_relay(connection: AsyncConnection, *events: Event) -> None:
    """Wake the relay after the commit, but not for audit events alone: a round per login doubled its cost."""
    if any(event.mandatory for event in events):
        wake_after_commit(connection)


def insert_events(outbox: Table, source: CTE | None = None, **completed: Any) -> Insert:
    """`add` as part of a larger statement, for `event_params`; for each row of `source`, if given.

    `completed`: event fields that only the statement itself knows, as expressions over `source`.
    """
    arrays = [bindparam(parameter, type_=ARRAY(of)) for parameter, _, of in _WRITTEN]
    columns = [column(name, of) for _, name, of in _WRITTEN]
    given = func.unnest(*arrays).table_valued(*columns).render_derived(name="event")
    known = func.jsonb_build_object(*(each for pair in completed.items() for each in pair))
    body = cast(cast(given.c.body, JSONB).op("||")(known), Text) if completed else given.c.body
    rows = select(given.c.event_id, given.c.type, body, given.c.correlation_id, given.c.traceparent)
    if source is not None:
        rows = rows.select_from(given.join(source, true()))
    return insert(outbox).from_select([name for _, name, _ in _WRITTEN], rows)


# The same for a statement that is written as SQL.
INSERT_EVENTS = """
INSERT INTO {outbox} (event_id, type, body, correlation_id, traceparent)
SELECT * FROM unnest(CAST(:event_ids AS uuid[]), CAST(:event_types AS text[]), CAST(:event_bodies AS text[]),
    CAST(:correlation_ids AS text[]), CAST(:traceparents AS text[]))
"""


def event_params(*events: Event) -> dict[str, object]:
    """The parameters of `insert_events`. Call `wake_relay` after it."""
    return {
        "event_ids": [event.event_id for event in events],
        "event_types": [event.type for event in events],
        "event_bodies": [event.to_body() for event in events],
        "correlation_ids": [correlation_id.get()] * len(events),
        "traceparents": [traceparent()] * len(events),
    }


# Cached: SQLAlchemy takes longer to build the statement than Postgres to run it.
_added = cache(insert_events)

# Parameter, column and type of the column.
_WRITTEN: tuple[tuple[str, str, TypeEngine[Any]], ...] = (
    ("event_ids", "event_id", Uuid()),
    ("event_types", "type", Text()),
    ("event_bodies", "body", Text()),
    ("correlation_ids", "correlation_id", Text()),
    ("traceparents", "traceparent", Text()),
)
