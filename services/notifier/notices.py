"""Notices of changes to an account. They hold no secret, and their results are not reported."""

from __future__ import annotations

from dataclasses import dataclass

from services.notifier.channel import Notice
from services.notifier.deliver import AttemptResult
from services.notifier.delivery_ends import ends_counter
from services.notifier.recipient import recipient
from shared.messaging import bus
from shared.messaging.notice_events import AuthNoticeRequested, NoticeRequested, UsersNoticeRequested


@dataclass(frozen=True)
class Notices:
    name = "notice"
    ends = ends_counter("login2fa_notices_total", "Ends and retries of notices.")

    reserved_domains: bool

    def read(self, message: bus.Delivery) -> NoticeRequested:
        kind = AuthNoticeRequested if message.routing_key == AuthNoticeRequested.type else UsersNoticeRequested
        return kind.from_message(message)

    def decrypt(self, message: bus.Delivery, event: NoticeRequested) -> Notice:
        return Notice(
            event_id=str(event.event_id),
            correlation_id=message.correlation_id,
            email=recipient(event.email, event.type, reserved=self.reserved_domains),
            notice=event.notice,
            recovery_codes_left=event.recovery_codes_left if isinstance(event, AuthNoticeRequested) else None,
            occurred_at=event.occurred_at,
            expires_at=event.expires_at,
        )

    async def report(self, event: NoticeRequested, result: AttemptResult, message: bus.Delivery) -> None:
        """No report: the log and the metrics are enough."""
