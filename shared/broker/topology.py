"""The one description of exchanges and queues; publishers and consumers both declare all of it.

Whoever comes first finds everything in place, so no message is unroutable because its consumer has never run.
"""

from __future__ import annotations

from dataclasses import dataclass

EXCHANGE = "login2fa.events"

# Seconds before the 2nd, 3rd, ... attempt; the last one repeats. A code lives 240 s.
RETRY_DELAYS = (1, 3, 10, 30)

MAX_HANDLER_ERRORS = 5

# A message is put off so often by the shortest delay, then by a longer one: a crowd of them would keep the broker busy.
PUT_OFF_SHORTLY = 10


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscriber's queue and the routing keys (event types) it wants.

    `lifetime` in seconds: what is true for a moment only, and is gone when nobody has taken it by then.
    """

    queue: str
    routing_keys: tuple[str, ...]
    lifetime: int | None = None

    @property
    def dead_queue(self) -> str:
        return f"{self.queue}.dead"

    def retry_queue(self, delay: int) -> str:
        return f"{self.queue}.retry.{delay}s"


OTP_DELIVERY = Subscription("notifier.otp", ("auth.otp_requested.v1",))
ACCOUNT_READ_MODEL = Subscription("auth.accounts", ("users.account_changed.v1",))
# Apart from the accounts: a backlog of these is no reason to let no administrator pass.
IN_STEP = Subscription("auth.in_step", ("users.in_step.v1",))
OTP_OUTCOMES = Subscription("auth.otp_outcomes", ("notifier.otp_outcome.v1",))
# Apart from the codes, so that a flood of notices delays none of them.
NOTICES = Subscription("notifier.notices", ("auth.notice_requested.v1", "users.notice_requested.v1"))
ENDED_SESSIONS = Subscription("users.ended_sessions", ("auth.session_ended.v1",))
HEARTBEATS = Subscription("auth.heartbeats", ("notifier.heartbeat.v1",), lifetime=10)
SUBSCRIPTIONS = (OTP_DELIVERY, ACCOUNT_READ_MODEL, IN_STEP, OTP_OUTCOMES, NOTICES, ENDED_SESSIONS, HEARTBEATS)


def subscription(queue: str) -> Subscription:
    """The subscription whose work queue this is.

    Raises:
        LookupError: there is none; a consumer of an undeclared queue would wait for ever.
    """
    for each in SUBSCRIPTIONS:
        if each.queue == queue:
            return each
    raise LookupError(f"no subscription has the queue {queue!r}")


def retry_delay(attempt: int) -> int:
    """Seconds to wait after the given attempt (1, 2, ...) has failed."""
    return RETRY_DELAYS[min(attempt, len(RETRY_DELAYS)) - 1]


def put_off_delay(put_off: int) -> int:
    """Seconds to wait with a message that has been put off so often before."""
    return RETRY_DELAYS[0] if put_off < PUT_OFF_SHORTLY else RETRY_DELAYS[2]
