"""One-time codes: decrypts each, and reports its result to auth (services.notifier.report)."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from services.notifier.channel import Delivery
from services.notifier.database_time import DatabaseTime
from services.notifier.deliver import AttemptResult
from services.notifier.heartbeat import Heart
from services.notifier.recipient import recipient
from services.notifier.report import Reports
from shared.messaging import bus
from shared.messaging.events import OtpRequested
from shared.sealing import Sealer

SECONDS = Histogram("login2fa_delivery_seconds", "From the request of a code to its delivery.")


class Codes:
    name = "otp"
    ends = Counter("login2fa_deliveries_total", "Ends and retries of deliveries.", ["outcome"])

    def __init__(
        self, sealer: Sealer, reports: Reports, database_time: DatabaseTime, heart: Heart, *, reserved_domains: bool
    ) -> None:
        self._sealer = sealer
        self._reports = reports
        self._database_time = database_time
        self._heart = heart
        self._reserved = reserved_domains

    def read(self, message: bus.Delivery) -> OtpRequested:
        return OtpRequested.from_message(message)

    def decrypt(self, message: bus.Delivery, event: OtpRequested) -> Delivery:
        if message.attempt == 1 and not message.put_off:
            self._heart.code_taken(event.requested_at)
        return Delivery(
            event_id=str(event.event_id),
            correlation_id=message.correlation_id,
            email=recipient(event.email, event.type, reserved=self._reserved),
            code=self._sealer.open(event.sealed_code, event.code_context),
            requested_at=event.requested_at,
            expires_at=event.expires_at,
        )

    async def tell(self, event: OtpRequested, result: AttemptResult, message: bus.Delivery) -> None:
        if result.status == "delivered":
            SECONDS.observe((self._database_time.now() - event.requested_at).total_seconds())
        if result.status != "put_off":  # no result yet
            await self._reports.tell(event, result.status, message)
