"""Stands for the notifier, as far as auth hears of it: says what became of a code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from shared.messaging.events import OtpOutcome
from shared.messaging.memory import MemoryBus
from tests.builders import message
from tests.inbox import Inbox


class Addressed(Protocol):
    @property
    def email(self) -> str: ...


class CodeReports:
    def __init__(self, bus: MemoryBus, inbox: Inbox) -> None:
        self._bus = bus
        self._inbox = inbox

    async def outcome(self, account: Addressed, outcome: Any, *, code: int = 1, **fields: Any) -> OtpOutcome:
        """Of the `code`th code (1 is the first) that was sent to `account`; not yet told."""
        await self._inbox.code_for(account.email, code)
        request = self._inbox.requests[account.email][code - 1]
        values: dict[str, Any] = {
            "challenge_id": request.challenge_id,
            "request_event_id": request.event_id,
            "outcome": outcome,
            "attempt": 1,
            "occurred_at": datetime.now(UTC),
        }
        return OtpOutcome(**values | fields)

    async def tell(self, account: Addressed, *outcomes: str, code: int = 1, **fields: Any) -> None:
        """One after the other; returns when auth has dealt with them."""
        for outcome in outcomes:
            await self._bus.publish(message(await self.outcome(account, outcome, code=code, **fields)))
