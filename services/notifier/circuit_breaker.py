"""The circuit breaker shared by all mails: it opens when the mail server refuses our credentials."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import Gauge

from services.notifier.channel import Channel, CredentialsRefused, Mail, TryLater
from services.notifier.turns import Turn
from shared import failpoints

log = structlog.get_logger()

PAUSED = Gauge("login2fa_deliveries_paused", "1 while the mail server refuses our credentials.")

# Seconds that the breaker stays open. More logins with bad credentials could get our mail account locked.
_PAUSE = 30.0


class CircuitBreaker:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._paused_until = 0.0
        self._refused = ""

    async def send(self, mail: Mail, turn: Turn) -> str:
        """See `Channel.deliver`."""
        with self._unless_paused():
            failpoints.reach("notifier: before the channel")
            said = await self._channel.deliver(mail, turn)
        failpoints.reach("notifier: delivered")
        PAUSED.set(0)
        return said

    async def probe(self) -> None:
        """Raises `DeliveryFailed`."""
        with self._unless_paused():
            await self._channel.probe()

    @contextmanager
    def _unless_paused(self) -> Iterator[None]:
        if time.monotonic() < self._paused_until:
            raise TryLater(f"paused after {self._refused}")
        try:
            yield
        except CredentialsRefused as error:
            self._pause(str(error))
            raise

    def _pause(self, reason: str) -> None:
        log.error("mail server refuses our credentials: deliveries pause", reason=reason, seconds=_PAUSE)
        PAUSED.set(1)
        self._refused = reason
        self._paused_until = time.monotonic() + _PAUSE
