"""Describes events, exchanges and queues; `deploy/rabbitmq` derives the permissions of the broker's users from it.

An event's type begins with its publisher, a queue's name with its consumer. Each process has two exchanges: its events,
and copies for its own retry and dead-letter queues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AUTH: Final = "auth"
USERS: Final = "users"
NOTIFIER: Final = "notifier"
PROCESSES: Final = (AUTH, USERS, NOTIFIER)

# Seconds before attempt 2, 3, ...; the last one repeats. A code lives 240 s.
RETRY_DELAYS = (1, 3, 10, 30)

MAX_HANDLER_ERRORS = 5

# After so many short delays a message gets longer ones: a large batch would keep the broker busy.
PUT_OFF_SHORTLY = 10


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer's queue and its event types. A message is dropped after `lifetime` seconds, if set."""

    queue: str
    routing_keys: tuple[str, ...]
    lifetime: int | None = None

    @property
    def consumer(self) -> str:
        return process_of(self.queue)

    @property
    def dead_queue(self) -> str:
        return f"{self.queue}.dead"

    def retry_queue(self, delay: int) -> str:
        return f"{self.queue}.retry.{delay}s"

    @property
    def retry_queues(self) -> tuple[str, ...]:
        return tuple(map(self.retry_queue, RETRY_DELAYS))


OTP_DELIVERY = Subscription("notifier.otp", ("auth.otp_requested.v1",))
ACCOUNT_READ_MODEL = Subscription("auth.accounts", ("users.account_changed.v1",))
# Separate from the accounts: a backlog of those must not lock out the administrators.
IN_STEP = Subscription("auth.in_step", ("users.in_step.v1",))
OTP_OUTCOMES = Subscription("auth.otp_outcomes", ("notifier.otp_outcome.v1",))
# Separate from the codes, so that a flood of notices delays none of them.
NOTICES = Subscription("notifier.notices", ("auth.notice_requested.v1", "users.notice_requested.v1"))
# Separate from the login codes: a flood of password resets must delay no login.
ACCOUNT_CODES = Subscription("notifier.account_codes", ("users.code_requested.v1",))
ACCOUNT_CODE_OUTCOMES = Subscription("users.account_code_outcomes", ("notifier.account_code_outcome.v1",))
PROVED_ADDRESSES = Subscription("users.proved_addresses", ("auth.address_proved.v1",))
ACCOUNT_FACTORS = Subscription("users.account_factors", ("auth.factors_changed.v1",))
REHASHED_PASSWORDS = Subscription("users.rehashed_passwords", ("auth.password_rehashed.v1",))
ENDED_SESSIONS = Subscription("users.ended_sessions", ("auth.session_ended.v1",))
HEARTBEATS = Subscription("auth.heartbeats", ("notifier.heartbeat.v1",), lifetime=10)
SUBSCRIPTIONS = (
    OTP_DELIVERY, ACCOUNT_READ_MODEL, IN_STEP, OTP_OUTCOMES, NOTICES, ACCOUNT_CODES, ACCOUNT_CODE_OUTCOMES,
    PROVED_ADDRESSES, ACCOUNT_FACTORS, REHASHED_PASSWORDS, ENDED_SESSIONS,
    HEARTBEATS,
)  # fmt: skip

# For queues of others, too (docs/events.md): no secret, no mail address and no name is in them.
PUBLIC = ("auth.session_ended.v1", "auth.audit.v1", "users.audit.v1", "users.account_public.v1")


def process_of(name: str) -> str:
    """The publisher of an event type, the consumer of a queue. Raises `LookupError` if there is none."""
    process = name.partition(".")[0]
    if process not in PROCESSES:
        raise LookupError(f"{name!r} begins with the name of no process")
    return process


def published_by(process: str) -> tuple[str, ...]:
    consumed = [key for each in SUBSCRIPTIONS for key in each.routing_keys]
    return tuple(key for key in dict.fromkeys((*consumed, *PUBLIC)) if process_of(key) == process)


def consumed_by(process: str) -> tuple[Subscription, ...]:
    return tuple(each for each in SUBSCRIPTIONS if each.consumer == process)


def events_exchange(process: str) -> str:
    return f"{process}.events"


def returns_exchange(process: str) -> str:
    """For the process's own retry and dead-letter copies, and for replays by an operator."""
    return f"{process}.returns"


EVENTS_EXCHANGES = frozenset(map(events_exchange, PROCESSES))


def subscription(queue: str) -> Subscription:
    """The subscription of a work queue. Raises `LookupError`: a consumer of an undeclared queue waits for ever."""
    for each in SUBSCRIPTIONS:
        if each.queue == queue:
            return each
    raise LookupError(f"no subscription has the queue {queue!r}")


def retry_delay(attempt: int) -> int:
    """Seconds to wait after the given attempt (1, 2, ...) has failed."""
    return RETRY_DELAYS[min(attempt, len(RETRY_DELAYS)) - 1]


def put_off_delay(put_off: int) -> int:
    """Seconds to wait with a message that was put off `put_off` times before."""
    return RETRY_DELAYS[0] if put_off < PUT_OFF_SHORTLY else RETRY_DELAYS[2]
