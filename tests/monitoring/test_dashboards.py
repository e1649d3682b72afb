"""Dashboards are what their source makes, and they and the alerts ask for nothing that does not exist."""

from __future__ import annotations

import re

import pytest

from deploy.monitoring.dashboards import DASHBOARDS, FOLDER, dashboard
from tests.monitoring import promtool

METRICS = promtool.FOLDER.parents[1] / "docs" / "metrics.md"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_json_is_that_of_its_source(name: str) -> None:
    """Else run `python -m deploy.monitoring.dashboards`."""
    assert (FOLDER / f"{name}.json").read_text() == dashboard(name)


def test_every_metric_of_ours_that_is_asked_for_is_one_that_is_documented() -> None:
    asked = [expression for panels in DASHBOARDS.values() for panel in panels for expression in panel.queries.values()]
    asked += [rule["expr"] for rule in promtool.rules()]
    named = {re.sub("_(bucket|count|sum)$", "", name) for each in asked for name in re.findall(r"login2fa_\w+", each)}
    assert named - set(re.findall(r"^\| `(login2fa_\w+)`", METRICS.read_text(), re.MULTILINE)) == set()
