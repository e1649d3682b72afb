"""Traces of a process, from its start to its end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.configuration.connections import trusted
from shared.configuration.settings import ManagedSettings
from shared.observability import tracing

_LAST_SECONDS = 3.0


@asynccontextmanager
async def exporting(service: str, settings: ManagedSettings) -> AsyncIterator[None]:
    if settings.traces == "off":
        yield
        return
    # Else OpenTelemetry would read them; our settings alone say what is sent, and where.
    for variable in [each for each in os.environ if each.startswith("OTEL_")]:
        del os.environ[variable]
    from shared.observability.otlp import OtlpTracer  # noqa: PLC0415 - its packages are an extra

    tracer = OtlpTracer(
        service,
        settings.trace_endpoint or "",
        sample=settings.trace_sample,
        trusts_inbound=settings.trace_trust_inbound,
        verify=trusted(),
    )
    tracing.use(tracer)
    try:
        yield
    finally:
        tracing.use(None)
        await tracer.stop(min(_LAST_SECONDS, settings.shutdown_grace))
