"""The transactional outbox: an event is a row, written in the transaction of the change it tells of.

`add` joins the caller's transaction and does nothing else. Committed, the row will be published
(shared.messaging.relay); rolled back, the event has never been. `insert_events` is the same as a part of the very
statement that makes the change.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Insert,
    MetaData,
    Table,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from shared.database.pool import wake_after_commit
from shared.messaging.events import Event
from shared.observability.correlation import correlation_id


def outbox_table(metadata: MetaData) -> Table:
    """The outbox of the service whose schema `metadata` describes."""
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("event_id", Uuid, nullable=False),
        Column("type", Text, nullable=False),
        Column("body", Text, nullable=False),
        Column("correlation_id", Text, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


async def add(connection: AsyncConnection, outbox: Table, *events: Event) -> None:
    """All of them in one round trip."""
    await connection.execute(_added(outbox), event_params(*events))
    wake_relay(connection, *events)


def wake_relay(connection: AsyncConnection, *events: Event) -> None:
    """Wake the relay after the commit, unless nobody waits for these events.

    A record of the audit trail goes with the relay's next look, within a second, and with all others of that second:
    a round of the relay for each login cost as much as the rest of it.
    """
    if any(event.mandatory for event in events):
        wake_after_commit(connection)


def insert_events(outbox: Table, source: CTE | None = None, **completed: Any) -> Insert:
    """`add` as a part of a larger statement, with `event_params` the events; for each row of `source`, if there is one.

    `completed`: fields of the events that only the statement itself knows, by expressions over `source`.
    """
    arrays = [bindparam(parameter, type_=ARRAY(of)) for parameter, _, of in _WRITTEN]
    columns = [column(name, of) for _, name, of in _WRITTEN]
    given = func.unnest(*arrays).table_valued(*columns).render_derived(name="event")
    known = func.jsonb_build_object(*(each for pair in completed.items() for each in pair))
    body = cast(cast(given.c.body, JSONB).op("||")(known), Text) if completed else given.c.body
    rows = select(given.c.event_id, given.c.type, body, given.c.correlation_id)
    if source is not None:
        rows = rows.select_from(given.join(source, true()))
    return insert(outbox).from_select([name for _, name, _ in _WRITTEN], rows)


def event_params(*events: Event) -> dict[str, object]:
    """The parameters of `insert_events`, which is to be followed by `wake_relay`."""
    return {
        "event_ids": [event.event_id for event in events],
        "event_types": [event.type for event in events],
        "event_bodies": [event.to_body() for event in events],
        "correlation_ids": [correlation_id.get()] * len(events),
    }


# Made once: it takes SQLAlchemy longer to build a statement than Postgres to run it.
_added = cache(insert_events)

# Each with the parameter that holds it of all events.
_WRITTEN: tuple[tuple[str, str, TypeEngine[Any]], ...] = (
    ("event_ids", "event_id", Uuid()),
    ("event_types", "type", Text()),
    ("event_bodies", "body", Text()),
    ("correlation_ids", "correlation_id", Text()),
)
