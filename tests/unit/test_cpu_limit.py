"""How wide the hashing pool may be: shared.passwords.cpu_limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.passwords.cpu_limit import usable

MACHINE = 64


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MACHINE)))


@pytest.mark.parametrize(
    ("limit", "processors"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),  # rounded up: the kernel slows the surplus, nothing breaks
        ("10000 100000\n", 1),
        ("max 100000\n", MACHINE),
        ("12800000 100000\n", MACHINE),  # more than there are
        ("", MACHINE),
    ],
)
def test_the_limit_of_a_container_counts_and_not_the_size_of_its_machine(
    tmp_path: Path, limit: str, processors: int
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert usable(tmp_path) == processors


@pytest.mark.parametrize(("quota", "processors"), [("250000", 3), ("-1", MACHINE)])
def test_a_limit_of_the_older_control_groups_counts_too(tmp_path: Path, quota: str, processors: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable(tmp_path) == processors


def test_without_a_container_all_processors_of_the_machine_are_ours(tmp_path: Path) -> None:
    assert usable(tmp_path) == MACHINE
