"""The codes that auth had sent, read where the notifier reads them: from the events on the bus."""

from __future__ import annotations

from collections import defaultdict

from shared.messaging.bus import Delivery, Done, Outcome
from shared.messaging.events import OtpRequested
from shared.sealing import Sealer
from tests.polling import eventually


class Inbox:
    """A handler of `auth.otp_requested.v1`."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self.codes: dict[str, list[str]] = defaultdict(list)
        self.requests: dict[str, list[OtpRequested]] = defaultdict(list)

    async def __call__(self, delivery: Delivery) -> Outcome:
        event = OtpRequested.from_message(delivery)
        self.requests[event.email].append(event)
        self.codes[event.email].append(self._sealer.open(event.sealed_code, event.code_context))
        return Done()

    async def code_for(self, email: str, number: int = 1) -> str:
        """Wait for the code with this number (1 is the first) sent to `email`."""
        await eventually(lambda: len(self.codes[email]) >= number)
        return self.codes[email][number - 1]
