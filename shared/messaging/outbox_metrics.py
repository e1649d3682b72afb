"""The relay of an outbox, as Prometheus sees it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from prometheus_client import Counter, Gauge
from sqlalchemy import Row, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

PUBLISHED = Counter("login2fa_outbox_published_total", "Events confirmed by the broker.", ["service"])
FAILED = Counter("login2fa_outbox_failed_total", "Attempts to publish that were not confirmed.", ["service"])
OLDEST = Gauge(
    "login2fa_outbox_oldest_seconds",
    "Age of the oldest event not yet published, as the last look into the outbox saw it.",
    ["service"],
)
ROWS = Gauge(
    "login2fa_outbox_rows", "Events not yet published, as the last look into the outbox saw them.", ["service"]
)
LAST_ROUND = Gauge(
    "login2fa_outbox_last_round_timestamp_seconds",
    "When the relay last published all that it found (or found nothing); before its first round, when it started.",
    ["service"],
)

_COUNT_EVERY = 5.0  # seconds; a large backlog takes long to count


class OutboxMetrics:
    def __init__(self, service: str, outbox: Table) -> None:
        self.published, self.failed = PUBLISHED.labels(service), FAILED.labels(service)
        self._oldest, self._rows, self._last_good = (each.labels(service) for each in (OLDEST, ROWS, LAST_ROUND))
        self._count = select(func.count()).select_from(outbox)
        self._counted_at = -math.inf

    def ended_well(self) -> None:
        self._last_good.set_to_current_time()

    async def looked(self, connection: AsyncConnection, claimed: Sequence[Row[Any]], batch: int) -> None:
        """`claimed`: the oldest rows, at most `batch`; only what one batch does not hold is counted."""
        self._oldest.set(float(claimed[0].age) if claimed else 0)
        if len(claimed) < batch:
            self._rows.set(len(claimed))
        elif time.monotonic() - self._counted_at > _COUNT_EVERY:
            self._rows.set((await connection.execute(self._count)).scalar_one())
            self._counted_at = time.monotonic()
