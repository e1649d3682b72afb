"""The notifier, composed alone: a test hands its handlers deliveries, and hears its reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from services.notifier import app as notifier
from shared.messaging.address_events import AccountCodeOutcome
from shared.messaging.bus import Handler
from shared.messaging.events import OtpOutcome
from shared.messaging.memory_consumer import MemoryConsumption
from shared.messaging.topology import ACCOUNT_CODE_OUTCOMES, OTP_DELIVERY, OTP_OUTCOMES
from tests.composed import Keys, notifier_settings
from tests.fakes import TroubledBus
from tests.recording import Recorder


class TappedBus(TroubledBus):
    """Keeps the handlers by queue, so that a test can hand one a delivery and see its outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.handlers: dict[str, Handler] = {}

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> MemoryConsumption:
        self.handlers[queue] = handler
        return await super().consume(queue, handler, concurrency=concurrency)


class ReportsHeard:
    """Stands for auth and users, as far as the notifier knows them. With `bus.before` reports can be made to fail."""

    def __init__(self) -> None:
        self.bus = TappedBus()
        self._seen = Recorder()
        self._seen_by_users = Recorder()

    async def listen(self) -> None:
        await self.bus.consume(OTP_OUTCOMES.queue, self._seen, concurrency=16)
        await self.bus.consume(ACCOUNT_CODE_OUTCOMES.queue, self._seen_by_users, concurrency=16)

    @property
    def all(self) -> list[OtpOutcome]:
        return [OtpOutcome.from_message(delivery) for delivery in self._seen.deliveries]

    @property
    def of_account_codes(self) -> list[AccountCodeOutcome]:
        return [AccountCodeOutcome.from_message(delivery) for delivery in self._seen_by_users.deliveries]


@asynccontextmanager
async def running_notifier(
    keys: Keys, reports: ReportsHeard | None = None, /, queue: str = OTP_DELIVERY.queue, **overrides: Any
) -> AsyncIterator[Handler]:
    """The notifier's handler of this queue with these settings: what the bus calls for each delivery."""
    reports = reports or ReportsHeard()
    await reports.listen()
    # A heartbeat is a message among its reports, and a probe a connection among those of its mails.
    with patch.object(notifier, "signs_of_life", lambda *_: nullcontext()):
        async with notifier.running(notifier_settings(keys, **overrides), reports.bus):
            yield reports.bus.handlers[queue]
    await reports.bus.close()
