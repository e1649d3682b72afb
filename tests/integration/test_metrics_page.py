"""docs/metrics.md shows each metric of each process as its `/metrics` says it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from services.auth.tokens import keys
from services.configuration import SETTINGS
from shared.audit_acts import SERVICES, combinations
from shared.messaging.topology import PROCESSES, consumed_by
from shared.version import VERSION
from tests.good_settings import GOOD
from tests.polling import eventually
from tests.servers.ports import free_ports
from tests.stacks.program import READY_SECONDS, Program

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
MARKED = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- /metrics -->)", re.DOTALL)
WRITE = "WRITE_DOCS"  # WRITE_DOCS=1 make test ARGS='-k metrics_page' puts the table in its place

# Their values depend on the deployment, or are too many for a table.
NOT_SHOWN = {"act", "method", "queue", "reason", "relay", "route", "status", "type", "version"}
UNITS = {"_timestamp_seconds": "Unix time", "_seconds": "seconds"}

Metrics = Mapping[str, Mapping[str, Metric]]


@pytest.fixture(scope="module")
async def metrics(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Metrics]:
    """By process. Neither a database nor a broker is there: all series exist nevertheless."""
    folder = tmp_path_factory.mktemp("processes")
    keys.generate(folder / "keys")
    settings = GOOD | {
        "JWT_KEYS_DIR": str(folder / "keys"),
        "RABBITMQ_URL": "amqp://somebody@127.0.0.1:1/",
        "AUTH_DATABASE_URL": "postgresql://somebody@127.0.0.1:1/nothing",
        "USERS_DATABASE_URL": "postgresql://somebody@127.0.0.1:1/nothing",
    }
    programs = {service: a_program(service, settings, folder) for service in SETTINGS}
    with ExitStack() as stack:
        for program in programs.values():
            stack.callback(program.kill)
            program.start()
        yield {service: await eventually(partial(scraped, each), READY_SECONDS) for service, each in programs.items()}


def a_program(service: str, settings: Mapping[str, str], folder: Path) -> Program:
    port, management = map(str, free_ports(2))
    return Program(service, service, settings={**settings, "PORT": port, "MANAGEMENT_PORT": management}, folder=folder)


async def scraped(program: Program) -> dict[str, Metric]:
    """After one request, if it takes any."""
    if program.exit_code is not None:
        raise RuntimeError(program.output())
    port, management = (f"http://127.0.0.1:{program.settings[name]}" for name in ("PORT", "MANAGEMENT_PORT"))
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            if program.name != "notifier":
                await client.get(f"{port}/nowhere")
            text = (await client.get(f"{management}/metrics")).text
        except httpx.ConnectError as error:
            raise AssertionError(f"{program.name} does not listen") from error
    families = text_string_to_metric_families(text)
    return {each.name: each for each in families if each.name.startswith("login2fa_") and each.samples}


def series(metric: Metric, *labels: str) -> set[tuple[str, ...]]:
    return {tuple(sample.labels[label] for label in labels) for sample in metric.samples}


def table(metrics: Metrics) -> str:
    names = sorted({name for own in metrics.values() for name in own})
    rows = ["| metric | type | unit | labels | of | meaning |", "| --- | --- | --- | --- | --- | --- |"]
    for name in names:
        found = {service: own[name] for service, own in metrics.items() if name in own}
        metric = next(iter(found.values()))
        cells = (shown_name(metric), metric.type, unit(name), "; ".join(labels(found.values())), ", ".join(found))
        rows.append(f"| {' | '.join(cells)} | {metric.documentation} |")
    return "\n".join([*rows, ""])


def shown_name(metric: Metric) -> str:
    return f"`{metric.name}_total`" if metric.type == "counter" else f"`{metric.name}`"


def unit(name: str) -> str:
    return next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")


def labels(metrics: Iterable[Metric]) -> Iterator[str]:
    values: dict[str, dict[str, None]] = {}
    for sample in (sample for metric in metrics for sample in metric.samples):
        for label, value in sample.labels.items():
            values.setdefault(label, {})[value] = None
    values.pop("le", None)  # the bound of a bucket
    for label, seen in values.items():
        yield f"`{label}`" if label in NOT_SHOWN else f"`{label}`: {', '.join(seen)}"


def test_the_page_shows_each_metric_of_each_process(metrics: Metrics) -> None:
    now = table(metrics)
    if os.environ.get(WRITE):
        PAGE.write_text(MARKED.sub(lambda _: now, PAGE.read_text()))
    (shown,) = MARKED.findall(PAGE.read_text())
    assert shown == now, f"{PAGE.name} is out of date: {WRITE}=1 make test ARGS='-k metrics_page' writes it anew"


def test_each_process_says_which_service_it_runs_in_which_version(metrics: Metrics) -> None:
    told = {service: series(own["login2fa_build_info"], "service", "version") for service, own in metrics.items()}
    assert told == {service: {(service, VERSION)} for service in SETTINGS}


def test_every_act_and_queue_has_its_series_from_the_start(metrics: Metrics) -> None:
    for audited in SERVICES:
        acts = series(metrics[audited]["login2fa_acts"], "act", "outcome", "reason")
        assert acts == {(act, outcome, reason or "") for act, outcome, reason in combinations(audited)}
    for service in PROCESSES:
        queues = {(each.queue,) for each in consumed_by(service)}
        for name in ("consumer_live", "consumer_handle_seconds", "given_up"):
            assert series(metrics[service][f"login2fa_{name}"], "queue") == queues


def test_no_series_tells_only_when_another_one_was_created(metrics: Metrics) -> None:
    assert not [name for own in metrics.values() for name in own if name.endswith("_created")]
