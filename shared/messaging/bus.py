"""What a service knows of the message broker, whichever one carries its messages.

Two buses keep this contract, and the same tests (tests/contracts/test_bus.py) hold both to it:
`amqp.AmqpBus` on RabbitMQ, and `memory.MemoryBus` inside one process.

1. `publish` returns only when the message can no longer be lost by the bus, and raises otherwise.
   A time-out means *unknown*: the message may arrive all the same, and consumers cope with a repeat.
2. A message that no subscription wants is an error (`Unroutable`), never silence; unless nobody need listen to it
   (`Message.mandatory`), and then it is gone; so it is from where a queue of theirs has no room.
3. A message leaves its queue only after its handler returned an outcome, and the outcome was carried out.
4. Delivery is at-least-once and unordered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An event on its way.

    `event_id` names the fact and stays the same on every repeat; `routing_key` is the event's type,
    for example `auth.otp_requested.v1`; `body` is its JSON. `published_at` is when its publisher handed it over
    for the first time, by the clock of the database that it comes from; None where nobody has said so.
    `mac` is made and checked by `signed.SignedBus`; a bus carries it. `mandatory`: see promise 2.
    """

    routing_key: str
    body: bytes
    event_id: str
    correlation_id: str
    published_at: datetime | None = None
    mac: str = ""
    mandatory: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Message):
    """A message handed to a subscriber; `attempt` is 1 the first time.

    `put_off` is how often it has been put off: `Retry.tried`. `fresh`: it was published seconds ago at most, because
    its consumer had been waiting for one. False where that is not known.
    """

    attempt: int
    put_off: int = 0
    fresh: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Done:
    """The message has been dealt with and is removed."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Deliver the message again after `topology.retry_delay(attempt)`, as attempt + 1.

    Where nothing was `tried`: after `topology.put_off_delay(put_off)`, as the same attempt, and put_off + 1.
    """

    reason: str
    tried: bool = True


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Move the message to the subscription's dead-letter queue, together with the reason."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What an operator may see of a message that was given up: everything but its body (`size` is in bytes).

    What the broker moved by itself (a delivery limit), or nobody of ours sent, may lack the last three.
    """

    queue: str
    event_id: str
    event_type: str
    size: int
    reason: str
    attempts: int | None
    died_at: datetime | None


Outcome = Done | Retry | GiveUp

# A handler that raises is retried like `Retry`, and given up after `topology.MAX_HANDLER_ERRORS` attempts,
# so that a bug can't circulate a message for ever.
Handler = Callable[[Delivery], Awaitable[Outcome]]


class BusError(Exception):
    """The message was not, or not provably, accepted."""


class BusUnavailable(BusError):
    """No connection to the broker, or it did not answer in time: outcome unknown, try again later."""


class Unroutable(BusError):
    """The broker has no queue for this message: its topology is damaged."""


class Rejected(BusError):
    """The broker refused the message (a negative confirm): a queue is full or unable to store."""


class Consumption(Protocol):
    """A running subscription. It survives broker restarts by itself."""

    @property
    def live(self) -> bool:
        """Whether the broker counts this consumer on the queue at this moment (for readiness)."""

    async def stop(self, grace: float) -> None:
        """Take no new message, let those in flight finish for `grace` seconds, then cancel them unsettled."""


class Bus(Protocol):
    async def publish(self, message: Message) -> None:
        """Hand `message` over, durably. May be called many times concurrently.

        Raises:
            BusError: not accepted, or not known to be. `asyncio.timeout` around the call is honoured.
        """

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> Consumption:
        """Start handling the messages of one of `topology.SUBSCRIPTIONS`, named by its queue.

        Returns at once, connected or not: a broker that is away is waited for in the background.
        At most `concurrency` handlers run at a time.

        Raises:
            LookupError: no subscription has this queue.
            TopologyMismatch: the broker is there, and has no such queue, or does not permit its use.
        """

    async def close(self) -> None:
        """Stop every consumption with no grace, and disconnect."""


class TopologyMismatch(BusError):
    """A queue or exchange is not as this version needs it, or not for this user to use: an operator must decide."""
