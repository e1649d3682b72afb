"""The event handler for mails. One table decides the result of each attempt:

delivered    the channel accepted it                                    -> done, and only then acknowledged
retry later  refused connection, name, sender or credentials, 4xx       -> retried with growing delays
given up     5xx to recipient or mail, malformed, undecryptable         -> dead letter, and an error in the log
expired      the code or notice is too old                              -> dropped and counted
put off      too many are under way (services.notifier.turns)           -> comes again as the same attempt
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Literal, Protocol, TypeVar

import structlog
from prometheus_client import Counter

from services.notifier.channel import CredentialsRefused, Mail, TryLater, WillNotDeliver
from services.notifier.circuit_breaker import CircuitBreaker
from services.notifier.database_time import DatabaseTime
from services.notifier.delivery_ends import End
from services.notifier.report import DeliveryStatus
from services.notifier.turns import PutOff, Turns
from shared import failpoints
from shared.messaging import bus
from shared.messaging.bus import Done, GiveUp, Outcome, Retry
from shared.messaging.events import Event, MalformedEvent
from shared.messaging.topology import put_off_delay, retry_delay
from shared.sealing import Unsealable

log = structlog.get_logger()

_LEVELS = {"given_up": "error", "expired": "warning", "retry": "warning", "put_off": "debug"}

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """`status` is for the service that asked, `outcome` for the bus, `reason` for the log."""

    status: DeliveryStatus | Literal["put_off"]
    outcome: Outcome
    reason: str = ""


class Kind(Protocol[E]):
    name: str
    ends: Counter

    def read(self, message: bus.Delivery) -> E:
        """Raises `MalformedEvent`."""

    def decrypt(self, message: bus.Delivery, event: E) -> Mail:
        """Raises `MalformedEvent`, `Unsealable`."""

    async def report(self, event: E, result: AttemptResult, message: bus.Delivery) -> None:
        """Reports the result just before the acknowledgement. Never raises."""


@dataclass(frozen=True, slots=True)
class Deliver(Generic[E]):
    kind: Kind[E]
    breaker: CircuitBreaker
    database_time: DatabaseTime
    turns: Turns

    async def __call__(self, message: bus.Delivery) -> Outcome:
        self.database_time.learn(message)
        try:
            event = self.kind.read(message)
        except MalformedEvent as error:
            result = _given_up(error)
            self._observe(message, result)
            return result.outcome  # no report: the event can not be read
        result = await self._attempt(message, event)
        self._observe(message, result)
        await self.kind.report(event, result, message)
        failpoints.reach("notifier: reported")
        return result.outcome

    async def _attempt(self, message: bus.Delivery, event: E) -> AttemptResult:
        try:
            mail = self.kind.decrypt(message, event)
        except (MalformedEvent, Unsealable) as error:
            return _given_up(error)
        if self._is_over(mail):  # before its turn: an expired backlog waits for nothing
            return AttemptResult("expired", Done())
        try:
            return await self._in_turn(message, mail)
        except WillNotDeliver as error:
            return AttemptResult("given_up", GiveUp(str(error)), str(error))
        except PutOff as error:
            result = AttemptResult("put_off", Retry(str(error), tried=False), str(error))
            delay = put_off_delay(message.put_off)
        except (TryLater, CredentialsRefused) as error:
            result = AttemptResult("deferred", Retry(str(error)), str(error))
            delay = retry_delay(message.attempt)
        return AttemptResult("expired", Done(), result.reason) if self._is_over(mail, delay) else result

    async def _in_turn(self, message: bus.Delivery, mail: Mail) -> AttemptResult:
        async with self.turns.turn(mail.email, first_attempt=message.attempt == 1) as turn:
            if self._is_over(mail):
                return AttemptResult("expired", Done())
            said = await self.breaker.send(mail, turn)
        return AttemptResult("delivered", Done(), said)

    def _is_over(self, mail: Mail, after: float = 0) -> bool:
        return self.database_time.now() + timedelta(seconds=after) >= mail.expires_at

    def _observe(self, message: bus.Delivery, result: AttemptResult) -> None:
        status: End = "retry" if result.status == "deferred" else result.status
        self.kind.ends.labels(status).inc()
        log_it = getattr(log, _LEVELS.get(status, "info"))
        what = f"{self.kind.name} delivery"
        log_it(what, outcome=status, reason=result.reason, event_id=message.event_id, attempt=message.attempt)


def _given_up(error: Exception) -> AttemptResult:
    reason = f"{type(error).__name__}: {error}"
    return AttemptResult("given_up", GiveUp(reason), reason)
