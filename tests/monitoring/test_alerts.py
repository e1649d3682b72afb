"""Each alert fires when it has to and is silent otherwise; and each of its numbers matters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.messaging.topology import SUBSCRIPTIONS
from tests.conftest import USED
from tests.monitoring.alert_cases import CASES, WHOLE
from tests.monitoring.promtool import FOLDER, Rule, alerts, cases_of, failed, recordings
from tests.servers.prometheus import checked

# The number that follows a comparison; 0 is changed to 10.
_THRESHOLD = re.compile(r"(?<=[<>=] )\d[\d.]*")
# The share of errors counts only if so many of them are there.
_GUARD = re.compile(r"(?<=00 > )10")
_MINUTES = re.compile(r"(\d+)m")


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """The rule with one number ten times as large."""
    for found in _THRESHOLD.finditer(rule["expr"]):
        larger = f"{float(found[0]) * 10 or 10:g}"
        yield (
            f"over-{found.start()}",
            rule | {"expr": rule["expr"][: found.start()] + larger + rule["expr"][found.end() :]},
        )
    if wait := _MINUTES.fullmatch(rule.get("for", "")):
        yield "for", rule | {"for": f"{wait[1]}0m"}


def named(rule: Rule) -> str:
    return f"{rule['alert']}-{rule['labels']['severity']}"


def test_each_alert_has_a_case_that_fires_and_one_that_is_silent() -> None:
    for rule in alerts():
        assert {bool(case.fires) for case in cases_of(rule, CASES)} == {True, False}, named(rule)
    assert {case.alert for case in CASES} == {rule["alert"] for rule in alerts()}


def test_each_case_holds(tmp_path: Path) -> None:
    runs = {
        f"{named(rule)}-{number}": ([rule], case)
        for rule in alerts()
        for number, case in enumerate(cases_of(rule, CASES))
    }
    assert {f"{name}: {runs[name][1].when}" for name in failed(tmp_path, runs)} == set()


def test_each_case_holds_from_the_metrics_of_our_processes(tmp_path: Path) -> None:
    runs = {str(number): (recordings() + alerts(), case) for number, case in enumerate(WHOLE)}
    assert {runs[name][1].when for name in failed(tmp_path, runs)} == set()


@pytest.mark.long
def test_without_the_least_number_of_failures_one_of_them_would_wake_somebody(tmp_path: Path) -> None:
    rules = [*recordings(), *(rule | {"expr": _GUARD.sub("0", rule["expr"])} for rule in alerts())]
    (quiet,) = [case for case in WHOLE if case.when == "one 503 in a quiet hour"]
    assert failed(tmp_path, {"quiet": (rules, quiet)}) == {"quiet"}


def test_every_work_queue_is_watched() -> None:
    (rule,) = [rule for rule in alerts() if rule["alert"] == "NoConsumer"]
    (pattern,) = re.findall(r'queue=~"(.+?)"', rule["expr"])
    every = {name for each in SUBSCRIPTIONS for name in (each.queue, each.dead_queue, *each.retry_queues)}
    assert {name for name in every if re.fullmatch(pattern, name)} == {each.queue for each in SUBSCRIPTIONS}


@pytest.mark.parametrize(
    ("command", "name"), [("promtool check config", "prometheus.yml"), ("amtool check-config", "alertmanager.yml")]
)
def test_the_tools_take_the_files(command: str, name: str) -> None:
    code, said = checked(*command.split(), FOLDER / name)
    assert code == 0, said


def test_a_page_does_not_wait_for_the_morning() -> None:
    routing = ("amtool", "config", "routes", "test", f"--config.file={FOLDER / 'alertmanager.yml'}")
    assert [checked(*routing, f"severity={each}")[1].split()[-1] for each in ("page", "ticket")] == ["pages", "tickets"]


@pytest.mark.long
def test_a_case_fails_as_soon_as_a_threshold_or_a_time_is_ten_times_as_large(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    runs = {
        f"{named(rule)}-{change}.{number}": ([mutant], case)
        for rule in alerts()
        for change, mutant in mutants(rule)
        for number, case in enumerate(cases_of(rule, CASES))
        if case.fires
    }
    changes = {name.partition(".")[0] for name in runs}
    assert len(changes) >= 2 * len(alerts())
    assert changes - {name.partition(".")[0] for name in failed(tmp_path, runs)} == set()
    pytestconfig.stash[USED]["Alerts"] = (
        f"{len(alerts())} alerts, each fired and silent; {len(changes)} changes noticed"
    )
