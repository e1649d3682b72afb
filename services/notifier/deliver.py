"""From an `OtpRequested` event to one of the three ends that a delivery has, decided in one table.

delivered            the channel took it                                        -> done, and only then acknowledged
retry later          refused connection, time-out, 4xx, our credentials refused -> again with growing delays
given up             5xx, malformed, undecryptable                              -> dead letter, and an error in the log
expired              nobody can use the code any more                           -> dropped and counted
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from email_validator import EmailNotValidError, validate_email
from prometheus_client import Counter, Gauge, Histogram

from services.notifier.channel import Channel, CredentialsRefused, Delivery, TryLater, WillNotDeliver
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


def _now() -> datetime:
    return datetime.now(UTC)


class Deliver:
    """The handler of `auth.otp_requested.v1`."""

    def __init__(self, channel: Channel, sealer: Sealer, now: Callable[[], datetime] = _now) -> None:
        self._channel = channel
        self._sealer = sealer
        self._now = now
        self._paused_until = 0.0

    async def __call__(self, message: bus.Delivery) -> Outcome:
        try:
            delivery = self._opened(message)
        except (MalformedEvent, Unsealable) as error:
            return _ended(message, "given_up", GiveUp(f"{type(error).__name__}: {error}"))
        if delivery.expires_at <= self._now():
            return _ended(message, "expired", Done())
        try:
            await self._send(delivery)
        except WillNotDeliver as error:
            return _ended(message, "given_up", GiveUp(str(error)))
        except (TryLater, CredentialsRefused) as error:
            if self._now() + timedelta(seconds=retry_delay(message.attempt)) >= delivery.expires_at:
                return _ended(message, "expired", Done(), str(error))
            return _ended(message, "retry", Retry(str(error)))
        SECONDS.observe((self._now() - delivery.requested_at).total_seconds())
        return _ended(message, "delivered", Done())

    def _opened(self, message: bus.Delivery) -> Delivery:
        event = OtpRequested.from_message(message)
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
            await self._channel.deliver(delivery)
        except CredentialsRefused as error:
            self._pause(str(error))
            raise
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


def _ended(message: bus.Delivery, word: str, outcome: Outcome, reason: str = "") -> Outcome:
    DELIVERIES.labels(word).inc()
    say = {"given_up": log.error, "expired": log.warning, "retry": log.warning}.get(word, log.info)
    reason = reason or getattr(outcome, "reason", "")
    say("otp delivery", outcome=word, reason=reason, event_id=message.event_id, attempt=message.attempt)
    return outcome
