"""The contract of both buses, `amqp.AmqpBus` and `memory.MemoryBus`; tests/contracts/test_bus.py checks it.

1. `publish` returns only when the bus can no longer lose the message, and raises otherwise.
   A time-out means *unknown*: the message may still arrive, and consumers cope with a repeat.
2. A message without a subscription is an error (`Unroutable`). One that is not `mandatory` is dropped instead, also
   where an operator's queue is full.
3. A message leaves its queue only after its handler's outcome was carried out.
4. Delivery is at-least-once and unordered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An event in transit."""

    routing_key: str  # the event's type, for example `auth.otp_requested.v1`
    body: bytes  # JSON
    event_id: str  # the same on every repeat
    correlation_id: str
    published_at: datetime | None = None  # by the clock of the publisher's database
    mac: str = ""  # made and checked by `signed.SignedBus`
    traceparent: str = ""  # of the act that caused it, if that is traced
    mandatory: bool = field(default=True, compare=False)  # see 2 above


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Message):
    """`attempt` counts from 1, `put_off` counts retries without `tried`."""

    attempt: int
    put_off: int = 0
    replayed: bool = field(default=False, compare=False)  # by an operator
    fresh: bool = field(default=False, compare=False)  # published seconds ago at most; false if unknown


@dataclass(frozen=True, slots=True)
class Done:
    """Remove the message; it was handled."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Repeat as attempt + 1 after `topology.retry_delay`; if not `tried`, as put_off + 1 after `put_off_delay`."""

    reason: str
    tried: bool = True


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Move the message to the subscription's dead-letter queue, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter for an operator, so without its body; `size` is in bytes."""

    queue: str
    event_id: str
    event_type: str
    size: int
    reason: str
    attempts: int | None
    died_at: datetime | None


Outcome = Done | Retry | GiveUp

# An exception means `Retry`, or `GiveUp` after `topology.MAX_HANDLER_ERRORS` attempts: a bug must not loop for ever.
Handler = Callable[[Delivery], Awaitable[Outcome]]


class BusError(Exception):
    """The message was not accepted, or it is unknown whether it was."""


class BusUnavailable(BusError):
    """No connection to the broker, or no answer in time: the outcome is unknown, try again later."""


class Unroutable(BusError):
    """The broker has no queue for this message: its topology is damaged."""


class Rejected(BusError):
    """The broker refused the message (a negative confirm): a queue is full or unable to store."""


class Consumption(Protocol):
    """A running subscription. It survives broker restarts."""

    @property
    def live(self) -> bool:
        """Whether the broker has this consumer on the queue now (for readiness)."""

    async def stop(self, grace: float) -> None:
        """Accept no new message, give handlers `grace` seconds to finish, then cancel them unsettled."""


class Bus(Protocol):
    async def publish(self, message: Message) -> None:
        """Publish durably; may run concurrently and under `asyncio.timeout`. Raises `BusError`."""

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> Consumption:
        """Consume the queue of one of `topology.SUBSCRIPTIONS` with at most `concurrency` handlers at a time.

        A broker that is away is awaited in the background. Raises `LookupError` if no subscription has this queue,
        `TopologyMismatch` if the broker has no such queue or does not permit its use.
        """

    async def close(self) -> None:
        """Stop every consumption without grace, and disconnect."""


class TopologyMismatch(BusError):
    """A queue or exchange differs from what this version needs, or is not permitted: an operator must act."""
