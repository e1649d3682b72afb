"""Runs cases against rules by `promtool test rules`, many at once: starting it is what costs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.alert_cases import Case
from tests.servers.prometheus import checked

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"

Rule = dict[str, Any]


def rules() -> list[Rule]:
    return [rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]]


def recordings() -> list[Rule]:
    return [rule for rule in rules() if "record" in rule]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if "alert" in rule]


def cases_of(rule: Rule, cases: list[Case]) -> list[Case]:
    return [each for each in cases if (each.alert, each.severity) == (rule["alert"], rule["labels"]["severity"])]


def failed(folder: Path, runs: Mapping[str, tuple[list[Rule], Case]]) -> set[str]:
    """The names of those runs whose case does not hold with these rules alone."""
    paths = [_written(folder, name, *run) for name, run in runs.items()]
    _, said = checked("promtool", "test", "rules", *paths)
    verdicts = dict(re.findall(r"Unit Testing:  \S+/(\S+)\.test\.yml\n\s+(SUCCESS|FAILED)", said))
    # It ends with 0 where there is nothing to test.
    assert verdicts.keys() == runs.keys(), said
    return {name for name, verdict in verdicts.items() if verdict == "FAILED"}


def _written(folder: Path, name: str, tested: list[Rule], case: Case) -> Path:
    (folder / f"{name}.yml").write_text(json.dumps({"groups": [{"name": "tested", "rules": tested}]}))
    firing = f'ALERTS{{alertname="{case.alert}", severity="{case.severity}", alertstate="firing"}}'
    labels = f'{{service="{case.fires}"}}'
    test = {
        "interval": case.step,
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f"count by (service) ({firing})",
                "eval_time": case.at,
                "exp_samples": [{"labels": labels, "value": 1}] if case.fires else [],
            }
        ],
    }
    path = folder / f"{name}.test.yml"
    path.write_text(json.dumps({"rule_files": [f"{name}.yml"], "evaluation_interval": case.every, "tests": [test]}))
    return path
