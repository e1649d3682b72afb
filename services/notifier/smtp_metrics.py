"""The mail server, as Prometheus sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiosmtplib
from prometheus_client import Histogram

from services.notifier.channel import CredentialsRefused, DeliveryFailed, TryLater, WillNotDeliver

SECONDS = Histogram(
    "login2fa_smtp_seconds",
    "Time to hand one mail to the mail server, connecting included, and what came of it.",
    ["relay", "outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

_OUTCOMES = {WillNotDeliver: "refused", CredentialsRefused: "credentials", TryLater: "retry"}


class SmtpTimer:
    """`relay` is host:port."""

    def __init__(self, relay: str, sort: Callable[[Exception], type[DeliveryFailed]]) -> None:
        outcomes = ("accepted", *_OUTCOMES.values(), "timeout")
        self._timers = {outcome: SECONDS.labels(relay, outcome) for outcome in outcomes}
        self._sort = sort

    @contextmanager
    def timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except (aiosmtplib.SMTPException, OSError) as error:
            outcome = "timeout" if isinstance(error, TimeoutError) else _OUTCOMES[self._sort(error)]
            self._timers[outcome].observe(time.perf_counter() - began)
            raise
        self._timers["accepted"].observe(time.perf_counter() - began)
