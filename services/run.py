"""Runs one service as a process until SIGTERM."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from services.traces import exporting
from shared.configuration.settings import ManagedSettings, ProcessSettings, ServerSettings
from shared.messaging.amqp import AmqpBus
from shared.messaging.bus import Bus
from shared.observability import build, logs
from shared.web.process import Running, listen, served, stop_signal

S = TypeVar("S", bound=ProcessSettings)
Compose = Callable[[S, Bus], AbstractAsyncContextManager[Running]]


async def run_with_broker(service: str, settings: S, compose: Compose[S]) -> None:
    """As `run`. Raises `TopologyMismatch` too."""
    bus = AmqpBus(*settings.broker_urls, name=f"login2fa {service}")
    try:
        await run(service, settings, compose(settings, bus))
    finally:
        await bus.close()


async def run(service: str, settings: ManagedSettings, composed: AbstractAsyncContextManager[Running]) -> None:
    """Raises `CannotListen`, `KeysInvalid`."""
    logs.configure(service, settings.log_level)
    build.announce(service)
    http = settings if isinstance(settings, ServerSettings) else None
    # Bound before anything else starts, so that a taken port is reported at once.
    public = [listen(http.host, http.port, hint="Choose others with HOST and PORT.")] if http else []
    operator = listen(
        settings.management_host,
        settings.management_port,
        hint="Choose others with MANAGEMENT_HOST, MANAGEMENT_PORT.",
    )
    stop = stop_signal()
    async with (
        exporting(service, settings),
        composed as running,
        served(running, operator, *public, grace=settings.shutdown_grace / 2),
    ):
        await stop.wait()
