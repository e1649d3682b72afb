"""Where traces go, and which requests are traced: docs/tracing.md."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.configuration.connection_settings import ConnectionSettings
from shared.configuration.connections import Connection, to_http
from shared.configuration.types import HttpUrl, Lowercase


class TraceSettings(ConnectionSettings):
    traces: Annotated[Literal["off", "otlp"], Lowercase] = Field(
        "off", description="`otlp`: traces are sent to `TRACE_ENDPOINT`; needs the extra `otel` (docs/tracing.md)"
    )
    trace_endpoint: HttpUrl | None = Field(
        None, description="Where a collector takes OTLP over HTTP, such as `https://collector:4318/v1/traces`"
    )
    trace_sample: float = Field(0.01, ge=0, le=1, description="Share of requests that are traced")
    trace_trust_inbound: bool = Field(
        False,
        description="Requests may bring their trace in `traceparent`; only if your gateway removes that of a stranger, "
        "who could have everything traced",
    )

    def connections(self) -> dict[str, Connection]:
        if self.traces == "off" or self.trace_endpoint is None:
            return super().connections()
        return super().connections() | {"TRACE_ENDPOINT": to_http(self.trace_endpoint)}

    @model_validator(mode="after")
    def _traceable(self) -> Self:
        if self.traces == "off":
            return self
        if self.trace_endpoint is None:
            raise ValueError("TRACE_ENDPOINT: is not set, and TRACES=otlp needs it: where does a collector listen?")
        if find_spec("opentelemetry.sdk") is None:
            raise ValueError(
                "TRACES: otlp needs packages that are not installed: pip install login2fa[otel], or"
                " pip install --require-hashes -r requirements/otel.txt"
            )
        return self
