"""Codes that prove an address: decrypts each, and reports its result to users (services.notifier.report)."""

from __future__ import annotations

from dataclasses import dataclass

from services.notifier.channel import AccountCode
from services.notifier.database_time import DatabaseTime
from services.notifier.deliver import AttemptResult
from services.notifier.delivery_ends import ends_counter
from services.notifier.recipient import recipient
from services.notifier.report import Reports
from shared.messaging import bus
from shared.messaging.address_events import AccountCodeOutcome, CodeRequested
from shared.sealing import Sealer


@dataclass(frozen=True)
class AccountCodes:
    name = "account code"
    ends = ends_counter("login2fa_account_codes_total", "Ends and retries of account codes.")

    sealer: Sealer
    reports: Reports
    database_time: DatabaseTime
    reserved_domains: bool

    def read(self, message: bus.Delivery) -> CodeRequested:
        return CodeRequested.from_message(message)

    def decrypt(self, message: bus.Delivery, event: CodeRequested) -> AccountCode:
        return AccountCode(
            event_id=str(event.event_id),
            correlation_id=message.correlation_id,
            email=recipient(event.email, event.type, reserved=self.reserved_domains),
            purpose=event.purpose,
            code=self.sealer.open(event.sealed_code, event.code_context),
            requested_at=event.requested_at,
            expires_at=event.expires_at,
        )

    async def report(self, event: CodeRequested, result: AttemptResult, message: bus.Delivery) -> None:
        if result.status == "put_off":
            return  # no result yet
        outcome = AccountCodeOutcome(
            code_id=event.code_id,
            outcome=result.status,
            attempt=message.attempt,
            said=result.reason if event.purpose == "test" else "",
            occurred_at=self.database_time.now(),
        )
        await self.reports.publish(outcome, message)
