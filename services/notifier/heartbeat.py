"""Tells auth every few seconds that this notifier lives, and how it fares (shared.messaging.events.NotifierHeartbeat).

1. Nothing in it depends on a recipient: auth refuses logins by it (docs/decisions/0007).
2. A beat that can not be published is lost. The next one says more.
3. When a connection to the mail server has not been made for a while, one is made to see whether it can be.
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

# Seconds without a connection, after which one is made to see: while all is well, and while it is not.
PROBED_EVERY = 10.0
PROBED_AGAIN = 2.0
_CANCELLED_AGAIN = 0.2
TOO_EARLY = 0.01  # less is not waited for: a timer rounds, and would be set again and again for the rest


class Heart:
    """`now` is the database's clock, as well as it is known here."""

    def __init__(self, bus: SignedBus, reach: Reach, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._reach = reach
        self._now = now
        self._instance = uuid4()
        self._lag: float | None = None
        self._lost = False

    def code_taken(self, requested_at: datetime) -> None:
        """A code has been handed to us for its first attempt. What is tried again is old for its own reasons."""
        self._lag = (self._now() - requested_at).total_seconds()

    async def beat_forever(self, consuming: Callable[[], bool]) -> None:
        """Until cancelled; at once when the mail server comes or goes."""
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
        """What went wrong, in a word."""
        body, event_id = event.to_body().encode(), str(event.event_id)
        message = Message(routing_key=event.type, body=body, event_id=event_id, correlation_id=event_id)
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._bus.publish(message)
        except Exception as error:  # noqa: BLE001 - the next one tries again
            return type(error).__name__
        return ""


async def probe_forever(breaker: CircuitBreaker, reach: Reach) -> None:
    """Until cancelled. The outcome is in `reach`."""
    while True:
        due = (PROBED_EVERY if reach.good else PROBED_AGAIN) - reach.age
        if due > TOO_EARLY:
            await asyncio.sleep(due)
            continue
        try:
            await breaker.probe()
        except DeliveryFailed:
            await asyncio.sleep(PROBED_AGAIN)  # the connection itself may not have been tried
        except Exception as error:  # noqa: BLE001 - the next one tries again
            log.warning("mail server not probed", error=type(error).__name__)
            await asyncio.sleep(PROBED_AGAIN)


@asynccontextmanager
async def signs_of_life(
    heart: Heart, breaker: CircuitBreaker, reach: Reach, consuming: Callable[[], bool]
) -> AsyncIterator[None]:
    """Inside the block it beats."""
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
            # Once is not enough: `wait_for` of Python 3.11, by which the library for SMTP waits, loses a cancellation
            # that comes in the same moment as its answer.
            _, going = await asyncio.wait(going, timeout=_CANCELLED_AGAIN)
