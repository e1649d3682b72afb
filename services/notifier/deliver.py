"""From an `OtpRequested` event to one of the three ends that a delivery has, decided in one table.

delivered            the channel took it                                        -> done, and only then acknowledged
retry later          refused connection, time-out, 4xx, our credentials refused -> again with growing delays
given up             5xx, malformed, undecryptable                              -> dead letter, and an error in the log
expired              nobody can use the code any more                           -> dropped and counted

Auth is told of each (services.notifier.report), last of all before the acknowledgement.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

import structlog
from email_validator import EmailNotValidError, validate_email
from prometheus_client import Counter, Gauge, Histogram

from services.notifier.channel import Channel, CredentialsRefused, Delivery, TryLater, WillNotDeliver
from services.notifier.database_time import DatabaseTime
from services.notifier.report import Reports, Word
from shared import failpoints
from shared.broker import bus
from shared.broker.bus import Done, GiveUp, Outcome, Retry
from shared.broker.topology import retry_delay
from shared.events import MalformedEvent, OtpRequested
from shared.sealing import Sealer, Unsealable

log = structlog.get_logger()

DELIVERIES = Counter("login2fa_deliveries_total", "Ends and retries of deliveries.", ["outcome"])
SECONDS = Histogram("login2fa_delivery_seconds", "From the request of a code to its delivery.")
PAUSED = Gauge("login2fa_deliveries_paused", "1 while the mail server refuses our credentials.")

# How long no mail is tried after the server has refused our credentials: trying on gets accounts locked.
_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class _End:
    """What became of an attempt, in auth's word for it; what the bus is to do; why."""

    word: Word
    outcome: Outcome
    reason: str = ""
    of_mailbox: bool = False


class Deliver:
    """The handler of `auth.otp_requested.v1`."""

    def __init__(self, channel: Channel, sealer: Sealer, reports: Reports, database_time: DatabaseTime) -> None:
        self._channel = channel
        self._sealer = sealer
        self._reports = reports
        self._database_time = database_time
        self._paused_until = 0.0

    async def __call__(self, message: bus.Delivery) -> Outcome:
        self._database_time.learn(message)
        try:
            event = OtpRequested.from_message(message)
        except MalformedEvent as error:
            end = _given_up(error)
            _observe(message, end)
            return end.outcome  # unreported: it does not say which challenge it is for
        end = await self._attempt(message, event)
        _observe(message, end)
        await self._reports.tell(event, end.word, message, of_mailbox=end.of_mailbox)
        failpoints.reach("notifier: reported")
        return end.outcome

    async def _attempt(self, message: bus.Delivery, event: OtpRequested) -> _End:
        now = self._database_time.now
        try:
            delivery = self._opened(message, event)
        except (MalformedEvent, Unsealable) as error:
            return _given_up(error)
        if delivery.expires_at <= now():
            return _End("expired", Done())
        try:
            await self._send(delivery)
        except WillNotDeliver as error:
            return _End("given_up", GiveUp(str(error)), str(error), error.of_mailbox)
        except (TryLater, CredentialsRefused) as error:
            if now() + timedelta(seconds=retry_delay(message.attempt)) >= delivery.expires_at:
                return _End("expired", Done(), str(error), error.of_mailbox)
            return _End("deferred", Retry(str(error)), str(error), error.of_mailbox)
        SECONDS.observe((now() - delivery.requested_at).total_seconds())
        return _End("delivered", Done())

    def _opened(self, message: bus.Delivery, event: OtpRequested) -> Delivery:
        return Delivery(
            event_id=str(event.event_id),
            correlation_id=message.correlation_id,
            email=_one_address(event.email),
            name=event.name,
            code=self._sealer.open(event.sealed_code, f"{event.event_id}:code"),
            requested_at=event.requested_at,
            expires_at=event.expires_at,
        )

    async def _send(self, delivery: Delivery) -> None:
        if time.monotonic() < self._paused_until:
            raise TryLater("paused: the mail server refuses our credentials")
        try:
            failpoints.reach("notifier: before the channel")
            await self._channel.deliver(delivery)
        except CredentialsRefused as error:
            self._pause(str(error))
            raise
        failpoints.reach("notifier: delivered")
        PAUSED.set(0)

    def _pause(self, reason: str) -> None:
        log.error("mail server refuses our credentials: deliveries pause", reason=reason, seconds=_PAUSE)
        PAUSED.set(1)
        self._paused_until = time.monotonic() + _PAUSE


def _one_address(given: str) -> str:
    """Raises `MalformedEvent`: a comma or a line break would make two recipients, or two lines in a file, of one."""
    try:
        checked = validate_email(given, allow_smtputf8=False, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise MalformedEvent(f"malformed {OtpRequested.type}: email") from None
    return checked.ascii_email or checked.normalized


def _given_up(error: Exception) -> _End:
    reason = f"{type(error).__name__}: {error}"
    return _End("given_up", GiveUp(reason), reason)


def _observe(message: bus.Delivery, end: _End) -> None:
    word = "retry" if end.word == "deferred" else end.word
    DELIVERIES.labels(word).inc()
    say = {"given_up": log.error, "expired": log.warning, "retry": log.warning}.get(word, log.info)
    say("otp delivery", outcome=word, reason=end.reason, event_id=message.event_id, attempt=message.attempt)
