"""The codes that users had sent, read where the notifier reads them: from the events on the bus."""

from __future__ import annotations

from shared.messaging.address_events import CodePurpose, CodeRequested
from shared.messaging.bus import Delivery, Done, Outcome
from shared.sealing import Sealer
from tests.polling import eventually


class AccountCodes:
    """A handler of `users.code_requested.v1`."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._codes: dict[str, tuple[str, CodePurpose, str]] = {}

    async def __call__(self, delivery: Delivery) -> Outcome:
        event = CodeRequested.from_message(delivery)
        code = self._sealer.open(event.sealed_code, event.code_context)
        self._codes[str(event.event_id)] = (event.email, event.purpose, code)
        return Done()

    def sent(self, email: str, purpose: CodePurpose) -> list[str]:
        return [code for to, what, code in self._codes.values() if (to, what) == (email, purpose)]

    async def code_for(self, email: str, purpose: CodePurpose, number: int = 1) -> str:
        """Wait for the code with this number (1 is the first) sent to `email`."""
        await eventually(lambda: len(self.sent(email, purpose)) >= number)
        return self.sent(email, purpose)[number - 1]
