"""Sends heartbeats to auth (shared.messaging.events.NotifierHeartbeat).

1. Nothing in them depends on a recipient, because auth refuses logins by them (docs/decisions/0007).
2. A heartbeat that can not be published is dropped: the next one is newer.
3. A probe connects to the mail server when no mail has reached it for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from itertools import count
from uuid import uuid4

import structlog

from services.notifier.channel import DeliveryFailed
from services.notifier.circuit_breaker import CircuitBreaker
from services.notifier.reach import Reach
from shared.messaging.bus import Message
from shared.messaging.events import NotifierHeartbeat
from shared.messaging.signed import SignedBus

log = structlog.get_logger()

HEARTBEAT_SECONDS = 3.0
PUBLISH_SECONDS = 2.0

# Seconds without news after which the mail server is probed: while it is reached, and while it is not.
PROBED_EVERY = 10.0
PROBED_AGAIN = 2.0
_CANCELLED_AGAIN = 0.2
TOO_EARLY = 0.01  # seconds; a shorter wait is skipped: timers round, so it would be set again and again


class Heart:
    def __init__(self, bus: SignedBus, reach: Reach, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._reach = reach
        self._now = now
        self._instance = uuid4()
        self._lag: float | None = None
        self._lost = False

    def code_taken(self, requested_at: datetime) -> None:
        """Records the lag of the queue. Call for first attempts only: a retry is old for other reasons."""
        self._lag = (self._now() - requested_at).total_seconds()

    async def beat_forever(self, consuming: Callable[[], bool]) -> None:
        """Until cancelled. Also beats at once when `reach` changes."""
        for number in count(1):
            self._reach.turned.clear()
            await self._beat(number, consuming=consuming())
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._reach.turned.wait()

    async def _beat(self, number: int, *, consuming: bool) -> None:
        event = NotifierHeartbeat(
            instance_id=self._instance,
            number=number,
            consuming=consuming,
            mail_taken=self._reach.good,
            lag=self._lag,
            occurred_at=self._now(),
        )
        self._lag = None
        error = await self._published(event)
        if error and not self._lost:
            log.warning("heartbeat lost", error=error)
        self._lost = bool(error)

    async def _published(self, event: NotifierHeartbeat) -> str:
        body, event_id = event.to_body().encode(), str(event.event_id)
        message = Message(routing_key=event.type, body=body, event_id=event_id, correlation_id=event_id)
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._bus.publish(message)
        except Exception as error:  # noqa: BLE001 - the next one tries again
            return type(error).__name__
        return ""


async def probe_forever(breaker: CircuitBreaker, reach: Reach) -> None:
    while True:
        due = (PROBED_EVERY if reach.good else PROBED_AGAIN) - reach.age
        if due > TOO_EARLY:
            await asyncio.sleep(due)
            continue
        try:
            await breaker.probe()
        except Exception as error:  # noqa: BLE001 - the next one tries again
            if not isinstance(error, DeliveryFailed):
                log.warning("mail server not probed", error=type(error).__name__)
            await asyncio.sleep(PROBED_AGAIN)  # with the breaker open, `reach.age` was not reset


@asynccontextmanager
async def signs_of_life(
    heart: Heart, breaker: CircuitBreaker, reach: Reach, consuming: Callable[[], bool]
) -> AsyncIterator[None]:
    tasks = (
        asyncio.create_task(heart.beat_forever(consuming), name="heartbeat"),
        asyncio.create_task(probe_forever(breaker, reach), name="probe of the mail server"),
    )
    try:
        yield
    finally:
        going = set(tasks)
        while going:
            for task in going:
                task.cancel()
            # Cancelled repeatedly: `wait_for` of Python 3.11, which aiosmtplib uses, can lose a cancellation.
            _, going = await asyncio.wait(going, timeout=_CANCELLED_AGAIN)
