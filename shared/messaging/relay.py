"""The relay publishes committed outbox rows and deletes each once the bus has confirmed it. Invariants:

1. A row is deleted only in the transaction that claimed it, and only after the confirm.
2. The row lock is the claim. It ends with the connection, so nothing stays "processing".
3. A time-out means *unknown*: the row stays and is published again; consumers cope with a repeat.
4. Only its own cancellation ends the relay.
5. A relay that was frozen for `lease` does not publish: its claim may be lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import ARRAY, Delete, Row, Select, Table, any_, bindparam, delete, func, select, text

from shared import failpoints
from shared.database.pool import Database
from shared.messaging.backoff import pauses, wait
from shared.messaging.bus import BusError, BusUnavailable, Message
from shared.messaging.event_types import mandatory
from shared.messaging.outbox_metrics import OutboxMetrics
from shared.messaging.signed import SignedBus

log = structlog.get_logger()

# The outbox is mostly empty, so the planner's statistics mislead: it kept a plan that sorted all rows for each claim.
BY_INDEX = text("SET LOCAL enable_seqscan = off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds and rows. `lease`: Postgres then ends an idle transaction, and its claim (deploy/postgres/roles.sql)."""

    batch: int = 100
    poll: float = 1.0
    publish_timeout: float = 10.0
    considered_stuck: float = 30.0
    lease: float = 20.0


def claim(outbox: Table, batch: int) -> Select[Any]:
    age = func.extract("epoch", func.now() - outbox.c.created_at).label("age")
    claimed_at = func.statement_timestamp().label("claimed_at")
    oldest = select(outbox, age, claimed_at).order_by(outbox.c.id).limit(batch)
    return oldest.with_for_update(skip_locked=True)


def deletion(outbox: Table) -> Delete:
    confirmed = bindparam("confirmed", type_=ARRAY(outbox.c.id.type))
    return delete(outbox).where(outbox.c.id == any_(confirmed))


class ClaimLost(Exception):
    """Another relay may have the rows."""


class Relay:
    def __init__(
        self, service: str, database: Database, outbox: Table, bus: SignedBus, pace: Pace | None = None
    ) -> None:
        self._service = service
        self._database = database
        self._bus = bus
        self._pace = pace or Pace()
        # Built once: SQLAlchemy took as long for it as Postgres for the answer.
        self._claim = claim(outbox, self._pace.batch)
        self._deletion = deletion(outbox)
        self._metrics = OutboxMetrics(service, outbox)
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_round = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether it runs and has finished a round lately, well or badly."""
        recent = time.monotonic() - self._last_round < self._pace.considered_stuck
        return self._task is not None and not self._task.done() and recent

    def start(self) -> None:
        self._metrics.ended_well()
        self._task = asyncio.create_task(self._run(), name=f"{self._service} relay")

    async def stop(self, grace: float) -> None:
        """Publish committed rows for at most `grace` seconds, then stop."""
        if self._task is None:
            return
        self._stopping.set()
        # An immediate cancel would roll back the claim of messages in flight: each a duplicate.
        await asyncio.wait([self._task], timeout=grace)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        backoff = pauses()
        while True:
            last_round = self._stopping.is_set()
            more = await self._try_round()
            self._last_round = time.monotonic()
            if last_round and not more:
                return
            if more is None:
                await wait(next(backoff), self._stopping)
                continue
            backoff = pauses()
            if not more:
                await wait(self._pace.poll, self._stopping, self._database.committed)

    async def _try_round(self) -> bool | None:
        """Returns None after a failure."""
        try:
            more = await self._round()
        except asyncio.CancelledError:
            # A stuck broker connection raises this in tasks that nobody cancelled.
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            log.warning("outbox round cancelled from within", service=self._service)
        except Exception as error:  # noqa: BLE001 - invariant 4
            log.warning("outbox round failed", service=self._service, error=f"{type(error).__name__}: {error}")
        else:
            self._metrics.ended_well()
            return more
        return None

    async def _round(self) -> bool:
        """Publish one batch; return whether more is waiting. Raises if part of it was not confirmed."""
        self._database.committed.clear()
        async with self._database.transaction() as connection:
            await connection.execute(BY_INDEX)
            claiming_since = time.monotonic()
            rows = (await connection.execute(self._claim)).all()
            await self._metrics.looked(connection, rows, self._pace.batch)
            if not rows:
                return False
            failpoints.reach("relay: claimed")
            if time.monotonic() - claiming_since > self._pace.lease:
                raise ClaimLost
            confirmed, errors = await self._publish(rows)
            failpoints.reach("relay: before delete")
            await connection.execute(self._deletion, {"confirmed": confirmed})
            failpoints.reach("relay: deleted")
        self._metrics.published.inc(len(confirmed))
        if errors:
            self._metrics.failed.inc(len(errors))
            raise errors[0]
        return len(rows) == self._pace.batch or len(confirmed) < len(rows)

    async def _publish(self, rows: Sequence[Row[Any]]) -> tuple[list[int], list[BusError]]:
        """Publish all rows concurrently under one time-out; return the confirmed ids and the errors.

        Audit events go last, so that they delay no code. During a stop they are left for another round: a code whose
        row is not deleted within the grace period is mailed twice.
        """
        services_wait = [row for row in rows if mandatory(row.type)]
        audit = [row for row in rows if not mandatory(row.type)]
        sending: dict[asyncio.Task[None], int] = {}
        ends = time.monotonic() + self._pace.publish_timeout
        try:
            for part in filter(None, (services_wait, audit)):
                sending |= {asyncio.create_task(self._bus.publish(_message(row))): row.id for row in part}
                _, late = await asyncio.wait(sending, timeout=ends - time.monotonic())
                if late or self._stopping.is_set():
                    break
        finally:
            for task in sending:
                task.cancel()
        await asyncio.wait(sending)
        errors = [_failure(task) for task in sending]
        confirmed = [row_id for row_id, error in zip(sending.values(), errors, strict=True) if error is None]
        return confirmed, [error for error in errors if error is not None]


def _message(row: Row[Any]) -> Message:
    return Message(
        routing_key=row.type,
        body=row.body.encode(),
        event_id=str(row.event_id),
        correlation_id=row.correlation_id,
        traceparent=row.traceparent or "",
        published_at=row.claimed_at,
        mandatory=mandatory(row.type),
    )


def _failure(task: asyncio.Task[None]) -> BusError | None:
    if task.cancelled():
        return BusUnavailable("no confirm in time")
    error = task.exception()
    if error is None or isinstance(error, BusError):
        return error
    return BusError(f"{type(error).__name__}: {error}")
