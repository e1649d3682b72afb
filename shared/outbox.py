"""The transactional outbox: an event is a row, written in the transaction of the change it tells of.

`add` joins the caller's transaction and does nothing else. Committed, the row will be published (shared.relay);
rolled back, the event has never been.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, MetaData, Table, Text, Uuid, func, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.correlation import correlation_id
from shared.database import wake_after_commit
from shared.events import Event


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


async def add(connection: AsyncConnection, outbox: Table, event: Event) -> None:
    await connection.execute(
        insert(outbox).values(
            event_id=event.event_id,
            type=event.type,
            body=event.to_body(),
            correlation_id=correlation_id.get(),
        )
    )
    wake_after_commit(connection)
