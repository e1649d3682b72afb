"""Reports the result of each code to auth (`OtpOutcome`). A lost report must never cause the mail to be sent again."""

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

# In all, connecting included: the message stays unacknowledged meanwhile, though its mail was sent.
REPORT_SECONDS = 2.0

# Without reports after a failure, so that a backlog does not wait REPORT_SECONDS for each.
SILENCE_SECONDS = 5.0

DeliveryStatus = Literal["delivered", "deferred", "given_up", "expired"]


class Reports:
    def __init__(self, bus: SignedBus, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._now = now
        self._silent_until = 0.0

    async def publish(self, request: OtpRequested, outcome: DeliveryStatus, message: Delivery) -> None:
        """Never raises, and takes REPORT_SECONDS at most. Auth tolerates lost, repeated and late reports."""
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
        if time.monotonic() < self._silent_until:
            return "not tried: the one before failed"
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                await self._bus.publish(report)
        except (BusError, TimeoutError) as error:
            self._silent_until = time.monotonic() + SILENCE_SECONDS
            return type(error).__name__
        return ""
