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
        outcome, word, expires_at = await self._attempt(message)
        if isinstance(outcome, Retry) and expires_at is not None:
            next_attempt = self._now() + timedelta(seconds=retry_delay(message.attempt))
            if next_attempt >= expires_at:
                outcome, word = Done(), "expired"
        DELIVERIES.labels(word).inc()
        reason = getattr(outcome, "reason", "")
        level = {"given_up": log.error, "expired": log.warning, "retry": log.warning}.get(word, log.info)
        level("otp delivery", outcome=word, reason=reason, event_id=message.event_id, attempt=message.attempt)
        return outcome

    async def _attempt(self, message: bus.Delivery) -> tuple[Outcome, str, datetime | None]:
        try:
            event = OtpRequested.from_message(message)
            code = self._sealer.open(event.sealed_code, f"{event.event_id}:code")
        except (MalformedEvent, Unsealable) as error:
            return GiveUp(f"{type(error).__name__}: {error}"), "given_up", None
        if event.expires_at <= self._now():
            return Done(), "expired", None
        if time.monotonic() < self._paused_until:
            return Retry("paused: credentials refused"), "retry", event.expires_at
        delivery = Delivery(
            event_id=str(event.event_id),
            correlation_id=message.correlation_id,
            email=event.email,
            name=event.name,
            code=code,
            requested_at=event.requested_at,
            expires_at=event.expires_at,
        )
        try:
            await self._channel.deliver(delivery)
        except TryLater as error:
            return Retry(str(error)), "retry", event.expires_at
        except CredentialsRefused as error:
            self._pause(str(error))
            return Retry(str(error)), "retry", event.expires_at
        except WillNotDeliver as error:
            return GiveUp(str(error)), "given_up", event.expires_at
        PAUSED.set(0)
        SECONDS.observe((self._now() - event.requested_at).total_seconds())
        return Done(), "delivered", event.expires_at

    def _pause(self, reason: str) -> None:
        log.error("mail server refuses our credentials: deliveries pause", reason=reason, seconds=_PAUSE)
        PAUSED.set(1)
        self._paused_until = time.monotonic() + _PAUSE
