"""Which requests are traced, what a trace may hold, and what happens to spans that no collector takes."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog

from services.portal.settings import PortalSettings
from services.traces import exporting
from shared.configuration import trace_settings
from shared.configuration.settings import SettingsInvalid, load
from shared.messaging.bus import Delivery, Done
from shared.messaging.handling import outcome_of
from shared.observability import logs, otlp, tracing
from shared.web.application import Service
from shared.web.rate_limit import RateLimiter
from tests.metrics import sample
from tests.servers.collector import Collector, collecting, tracing_to

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"
NEVER = 0.0


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = Service(
        "test",
        max_body=1000,
        max_headers=1000,
        token_endpoints=frozenset(),
        limiter=RateLimiter(frozenset(), None),
    )

    @app.get("/things/{name}")
    async def thing(name: str) -> str:
        if name == "broken":
            raise RuntimeError(name)
        return tracing.traceparent() or ""

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_request_is_a_span_by_the_template_of_its_route(
    client: httpx.AsyncClient, collector: Collector
) -> None:
    async with tracing_to(collector.url):
        traceparent = (await client.get("/things/secret")).json()
        await client.get("/secret")
        await client.get("/things/broken")

    good, unknown, broken = collector.spans
    assert f"00-{good.trace}-{good.id}-01" == traceparent
    assert (good.name, good.failed) == ("GET /things/{name}", False)
    assert good.attributes == {
        "http.request.method": "GET", "http.route": "/things/{name}", "http.response.status_code": 200,
    }  # fmt: skip
    assert (unknown.name, unknown.attributes["http.response.status_code"]) == ("GET", 404)
    assert (broken.failed, broken.attributes["error.type"]) == (True, "500")
    assert b"secret" not in b"".join(collector.bodies)


async def test_a_stranger_can_not_have_requests_traced(client: httpx.AsyncClient, collector: Collector) -> None:
    async with tracing_to(collector.url, sample=NEVER):
        await client.get("/things/x", headers={"traceparent": SAMPLED})

    assert collector.spans == []


async def test_a_trace_of_the_gateway_goes_on_where_it_is_trusted(
    client: httpx.AsyncClient, collector: Collector
) -> None:
    async with tracing_to(collector.url, sample=NEVER, trusts_inbound=True):
        for traceparent in (SAMPLED, UNSAMPLED, SAMPLED.upper(), f"{SAMPLED}-x"):
            await client.get("/things/x", headers={"traceparent": traceparent})
    async with tracing_to(collector.url, trusts_inbound=True):
        await client.get("/things/x", headers={"traceparent": UNSAMPLED})

    assert [(each.trace, each.parent) for each in collector.spans] == [(TRACE, SPAN)]


@pytest.mark.parametrize(
    "text", ["", UNSAMPLED, f"{SAMPLED}\n", SAMPLED.replace(TRACE, "0" * 32), SAMPLED.replace("00-", "ff-", 1)]
)
def test_of_a_message_only_a_sampled_and_well_formed_trace_is_taken(text: str) -> None:
    assert tracing.accepted(text) == ""
    assert tracing.accepted(SAMPLED) == SAMPLED


def delivery(**fields: Any) -> Delivery:
    known = {"routing_key": "auth.otp_requested.v1", "event_id": "e", "correlation_id": "c", "traceparent": SAMPLED}
    return Delivery(**{"body": b"secret", "attempt": 1, **known, **fields})


async def test_a_replay_and_an_old_message_have_traces_of_their_own_with_a_link(collector: Collector) -> None:
    async def handle(_: Delivery) -> Done:
        return Done()

    async with tracing_to(collector.url, sample=NEVER):
        for each in (
            delivery(published_at=datetime.now(UTC)),
            delivery(published_at=datetime.now(UTC), replayed=True),
            delivery(published_at=datetime.now(UTC) - timedelta(minutes=16)),
            delivery(traceparent=""),
        ):
            await outcome_of(handle, each, "notifier.otp")

    first, *others = collector.spans
    assert (first.trace, first.parent, first.links) == (TRACE, SPAN, ())
    assert [(each.trace == TRACE, each.parent, each.links) for each in others] == [(False, "", (TRACE,))] * 2


async def test_the_text_of_an_error_is_in_no_span(collector: Collector) -> None:
    async def handle(_: Delivery) -> Done:
        raise RuntimeError("secret")

    async with tracing_to(collector.url):
        await outcome_of(handle, delivery(), "notifier.otp")

    (span,) = collector.spans
    assert (span.failed, span.attributes["error.type"]) == (True, "RuntimeError")
    assert b"secret" not in b"".join(collector.bodies)


async def test_log_lines_name_the_trace_of_a_sampled_request(client: httpx.AsyncClient, collector: Collector) -> None:
    stream = io.StringIO()
    logs.configure("test", "info", stream)
    async with tracing_to(collector.url):
        await client.get("/things/broken")
    async with tracing_to(collector.url, sample=NEVER):
        await client.get("/things/broken")
    structlog.reset_defaults()

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    named = [(line["event"], line.get("trace_id")) for line in lines]
    trace = collector.spans[0].trace
    assert named == [("unexpected error", trace), ("request", trace), ("unexpected error", None), ("request", None)]


async def test_spans_that_a_collector_refuses_are_counted(client: httpx.AsyncClient, collector: Collector) -> None:
    before = sample("traces_dropped_total")

    async with tracing_to(collector.url.replace("/v1", "/v2")):
        await client.get("/things/x")

    assert sample("traces_dropped_total") - before == 1


async def test_a_silent_collector_costs_spans_and_holds_up_neither_requests_nor_the_end(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "QUEUE", 2)
    monkeypatch.setattr(otlp, "BATCH", 2)
    before = sample("traces_dropped_total")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with tracing_to(f"http://127.0.0.1:{silent.getsockname()[1]}/", patience=0.05):
            for _ in range(10):
                assert (await client.get("/things/x")).status_code == 200
            assert sample("traces_dropped_total") - before >= 10 - 2 - 2  # two are on their way, two wait


# --- settings

ON = {"traces": "otlp", "trace_endpoint": "http://127.0.0.1:1/v1/traces"}


def test_without_its_packages_it_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_settings, "find_spec", lambda _: None)

    with pytest.raises(SettingsInvalid, match=re.escape("pip install login2fa[otel]")):
        load(PortalSettings, **ON)


def test_it_needs_to_know_where_the_collector_is() -> None:
    with pytest.raises(SettingsInvalid, match=r"^TRACE_ENDPOINT: is not set"):
        load(PortalSettings, traces="otlp")


def test_a_collector_is_not_spoken_to_in_plain_where_tls_is_required() -> None:
    with pytest.raises(SettingsInvalid, match=r"^TRACE_ENDPOINT: REQUIRE_TLS is on"):
        load(PortalSettings, **ON | {"trace_endpoint": "http://collector/v1/traces"}, require_tls=True,
             issuer="https://login.example.com", auth_url="https://auth", users_url="https://users")  # fmt: skip


async def test_no_variable_of_opentelemetry_changes_what_is_sent(
    client: httpx.AsyncClient, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_SDK_DISABLED", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_TRACES_SAMPLER"):
        monkeypatch.setenv(name, {"OTEL_SDK_DISABLED": "true"}.get(name, "1"))
    settings = load(PortalSettings, **ON | {"trace_endpoint": collector.url}, trace_sample=1)

    async with exporting("portal", settings):
        await client.get("/things/x")

    assert len(collector.spans[0].attributes) == 3
    assert b"login2fa-portal" in collector.bodies[0]


def test_while_it_is_off_nothing_of_the_sdk_is_imported() -> None:
    imported = "import services.run, services.auth.app, services.notifier.app, sys"
    program = f"{imported}; print([each for each in sys.modules if each.startswith('opentelemetry.sdk')])"

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
