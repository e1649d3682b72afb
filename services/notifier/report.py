"""Reports what became of a code to the service that asked. A lost report must never cause the mail to be sent again."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import structlog
from prometheus_client import Counter

from shared.messaging.address_events import AccountCodeOutcome
from shared.messaging.bus import BusError, Delivery, Message
from shared.messaging.events import Event, OtpOutcome
from shared.messaging.signed import SignedBus
from shared.observability import tracing

log = structlog.get_logger()

REPORTS = Counter("login2fa_delivery_reports_total", "Reports to auth and users of what became of a code.", ["result"])
LOST, CONFIRMED = REPORTS.labels("lost"), REPORTS.labels("confirmed")

# In all, connecting included: the message stays unacknowledged meanwhile, though its mail was sent.
REPORT_SECONDS = 2.0

# Without reports after a failure, so that a backlog does not wait REPORT_SECONDS for each.
SILENCE_SECONDS = 5.0

DeliveryStatus = Literal["delivered", "deferred", "given_up", "expired"]


class Reports:
    """To one service: a queue of another that takes no reports must not silence these."""

    def __init__(self, bus: SignedBus) -> None:
        self._bus = bus
        self._silent_until = 0.0

    async def publish(self, report: OtpOutcome | AccountCodeOutcome, about: Delivery) -> None:
        """Never raises, and takes REPORT_SECONDS at most. The receiver tolerates lost, repeated and late reports."""
        error = await self._publish(report, about.correlation_id)
        (LOST if error else CONFIRMED).inc()
        if error:
            log.warning("report of a delivery lost", outcome=report.outcome, event_id=about.event_id, error=error)

    async def _publish(self, report: Event, correlation_id: str) -> str:
        if time.monotonic() < self._silent_until:
            return "not tried: the one before failed"
        message = Message(
            routing_key=report.type,
            body=report.to_body().encode(),
            event_id=str(report.event_id),
            correlation_id=correlation_id,
            traceparent=tracing.traceparent() or "",
        )
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                await self._bus.publish(message)
        except (BusError, TimeoutError) as error:
            self._silent_until = time.monotonic() + SILENCE_SECONDS
            return type(error).__name__
        return ""
