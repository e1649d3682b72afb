"""One-time codes of logins: decrypts each, and reports its result to auth (services.notifier.report)."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Histogram

from services.notifier.channel import Delivery
from services.notifier.database_time import DatabaseTime
from services.notifier.deliver import AttemptResult
from services.notifier.delivery_ends import ends_counter
from services.notifier.heartbeat import Heart
from services.notifier.recipient import recipient
from services.notifier.report import Reports
from shared.messaging import bus
from shared.messaging.events import OtpOutcome, OtpRequested
from shared.sealing import Sealer

# A code lives 240 s.
SECONDS = Histogram(
    "login2fa_delivery_seconds",
    "From the request of a login code to its delivery.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 240),
)


@dataclass(frozen=True)
class Codes:
    name = "otp"
    ends = ends_counter("login2fa_deliveries_total", "Ends and retries of the delivery of login codes.")

    sealer: Sealer
    reports: Reports
    database_time: DatabaseTime
    heart: Heart
    reserved_domains: bool

    def read(self, message: bus.Delivery) -> OtpRequested:
        return OtpRequested.from_message(message)

    def decrypt(self, message: bus.Delivery, event: OtpRequested) -> Delivery:
        if message.attempt == 1 and not message.put_off:
            self.heart.code_taken(event.requested_at)
        return Delivery(
            event_id=str(event.event_id),
            correlation_id=message.correlation_id,
            email=recipient(event.email, event.type, reserved=self.reserved_domains),
            code=self.sealer.open(event.sealed_code, event.code_context),
            requested_at=event.requested_at,
            expires_at=event.expires_at,
        )

    async def report(self, event: OtpRequested, result: AttemptResult, message: bus.Delivery) -> None:
        if result.status == "delivered":
            SECONDS.observe((self.database_time.now() - event.requested_at).total_seconds())
        if result.status == "put_off":
            return  # no result yet
        outcome = OtpOutcome(
            challenge_id=event.challenge_id,
            request_event_id=event.event_id,
            outcome=result.status,
            attempt=message.attempt,
            occurred_at=self.database_time.now(),
        )
        await self.reports.publish(outcome, message)
