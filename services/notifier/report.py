"""Tells auth what became of each code, as `OtpOutcome` events.

A report is worth less than a delivery. It is published, and confirmed, before the message that it is about is
acknowledged; but if that fails or takes long, it is counted as lost and the message is acknowledged all the same:
a mail that was delivered must never be sent twice because a report was lost. Auth copes with a report that never
comes, comes twice, or comes late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import structlog
from prometheus_client import Counter

from shared.messaging.bus import BusError, Delivery, Message
from shared.messaging.events import OtpOutcome, OtpRequested
from shared.messaging.signed import SignedBus

log = structlog.get_logger()

REPORTS = Counter("login2fa_delivery_reports_total", "Reports of deliveries to auth.", ["result"])

# In all, connecting included: so much longer is a message unacknowledged after its mail was sent.
REPORT_SECONDS = 2.0

# A broker that takes no reports must not slow down every delivery of a backlog by that time.
SILENCE_SECONDS = 5.0

DeliveryStatus = Literal["delivered", "deferred", "given_up", "expired"]


class Reports:
    """`now` is the database's clock, as well as it is known here. The bus publishes on a connection of its own."""

    def __init__(self, bus: SignedBus, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._now = now
        self._silent_until = 0.0

    async def tell(self, request: OtpRequested, outcome: DeliveryStatus, message: Delivery) -> None:
        """Never fails, and takes REPORT_SECONDS at most."""
        error = await self._publish(self._report(request, outcome, message))
        REPORTS.labels("lost" if error else "confirmed").inc()
        if error:
            log.warning("report of a delivery lost", outcome=outcome, event_id=message.event_id, error=error)

    def _report(self, request: OtpRequested, outcome: DeliveryStatus, message: Delivery) -> Message:
        event = OtpOutcome(
            challenge_id=request.challenge_id,
            request_event_id=request.event_id,
            outcome=outcome,
            attempt=message.attempt,
            occurred_at=self._now(),
        )
        return Message(
            routing_key=event.type,
            body=event.to_body().encode(),
            event_id=str(event.event_id),
            correlation_id=message.correlation_id,
        )

    async def _publish(self, report: Message) -> str:
        """What went wrong, in a word."""
        if time.monotonic() < self._silent_until:
            return "not tried: the one before failed"
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                await self._bus.publish(report)
        except (BusError, TimeoutError) as error:
            self._silent_until = time.monotonic() + SILENCE_SECONDS
            return type(error).__name__
        return ""
