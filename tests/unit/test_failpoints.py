"""Failpoints: nothing in the product can make one do anything, each is reached in one place, and a row tests it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import get_args

import pytest

from shared import failpoints
from shared.failpoints import Failpoint, reach
from tests.servers import with_failpoints

PROJECT = Path(__file__).parents[2]
PRODUCT = [path for package in ("shared", "services", "deploy") for path in sorted((PROJECT / package).rglob("*.py"))]
ROWS = sorted((PROJECT / "tests" / "faults" / "rows").glob("test_*.py"))
FAILPOINTS: tuple[Failpoint, ...] = get_args(Failpoint)


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Those that this process would have sent."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(failpoints, "action", None)
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def test_the_product_reaches_failpoints_and_does_nothing_else_with_them() -> None:
    for path in PRODUCT:
        if path != PROJECT / "shared" / "failpoints.py":
            code = path.read_text()
            assert set(re.findall(r"failpoints\.(\w+)", code)) <= {"reach"}, path
            assert "from shared.failpoints" not in code, path
            assert with_failpoints.VARIABLE not in code, path


def test_the_product_imports_nothing_of_the_tests() -> None:
    assert [path for path in PRODUCT if re.search(r"^\s*(from|import) tests\b", path.read_text(), re.MULTILINE)] == []


def test_no_failpoint_has_an_action_unless_a_test_sets_one() -> None:
    assert failpoints.action is None


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_each_is_reached_in_one_place_and_tested_by_a_row(failpoint: Failpoint) -> None:
    reached = [path for path in PRODUCT for _ in re.findall(rf'reach\("{failpoint}"\)', path.read_text())]
    assert len(reached) == 1
    assert any(f'"{failpoint}"' in path.read_text() for path in ROWS)


@pytest.mark.parametrize(("act", "number"), [("kill", signal.SIGKILL), ("freeze", signal.SIGSTOP)])
def test_an_armed_one_acts_once_and_at_the_time_that_was_said(
    tmp_path: Path, signals: list[tuple[int, int]], act: with_failpoints.Act, number: signal.Signals
) -> None:
    file = tmp_path / "auth.failpoint"
    with_failpoints.install(file)
    reach("relay: claimed")
    with_failpoints.arm(file, "relay: claimed", act, time=2)

    reach("relay: deleted")
    reach("relay: claimed")
    assert signals == []
    reach("relay: claimed")
    assert signals == [(os.getpid(), number)]
    reach("relay: claimed")
    assert signals == [(os.getpid(), number)]


@pytest.mark.parametrize("line", ["relay: claimd=kill", "relay: claimed=sleep", ""])
def test_a_name_or_an_act_that_is_not_there_is_an_error(
    tmp_path: Path, signals: list[tuple[int, int]], line: str
) -> None:
    file = tmp_path / "auth.failpoint"
    file.write_text(line)
    with_failpoints.install(file)
    with pytest.raises(ValueError, match="no such failpoint"):
        reach("relay: claimed")
