"""A handler that keeps what it was given and answers what the test wants."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from shared.messaging.bus import Delivery, Done, Message, Outcome


def otp_message(event_id: str | None = None, *, body: bytes = b'{"code": "sealed"}') -> Message:
    return Message(
        routing_key="auth.otp_requested.v1",
        body=body,
        event_id=event_id or str(uuid.uuid4()),
        correlation_id="request-1",
    )


class Recorder:
    """`answer` is an outcome, or an async function of the delivery that returns one."""

    def __init__(self, answer: Outcome | Callable[[Delivery], Awaitable[Outcome]] | None = None) -> None:
        self.deliveries: list[Delivery] = []
        self._answer = answer or Done()

    async def __call__(self, delivery: Delivery) -> Outcome:
        self.deliveries.append(delivery)
        return await self._answer(delivery) if callable(self._answer) else self._answer

    @property
    def event_ids(self) -> set[str]:
        return {delivery.event_id for delivery in self.deliveries}

    @property
    def attempts(self) -> list[int]:
        return [delivery.attempt for delivery in self.deliveries]
