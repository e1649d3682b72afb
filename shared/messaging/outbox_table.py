"""The table of an outbox (shared.messaging.outbox)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Identity, MetaData, Table, Text, Uuid, func


def outbox_table(metadata: MetaData) -> Table:
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("event_id", Uuid, nullable=False),
        Column("type", Text, nullable=False),
        Column("body", Text, nullable=False),
        Column("correlation_id", Text, nullable=False),
        Column("traceparent", Text),  # of a request that is traced (shared.observability.tracing)
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
