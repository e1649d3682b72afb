"""What is installed is what was locked, byte by byte, from whichever registry a machine uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = sorted((Path(__file__).parents[1] / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_one_version_and_its_hashes(lock: Path) -> None:
    joined = re.sub(r"\\\n\s*", " ", lock.read_text())
    entries = [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(entries) >= 30
    for entry in entries:
        assert re.match(
            r"^[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==[^\s;]+( ; [^-]+?)?( +--hash=sha256:[0-9a-f]{64})+\s*$", entry
        ), entry


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_names_a_registry(lock: Path) -> None:
    assert not re.search(
        r"https?://|--(extra-)?index-url|--find-links|--trusted-host|^-i |@ ?(git|file)", lock.read_text()
    )


def test_the_locks_are_those_that_the_make_file_installs() -> None:
    assert [path.name for path in LOCKS] == [
        "audit.txt",
        "bench.txt",
        "dev.txt",
        "otel.txt",
        "runtime.txt",
        "standalone.txt",
    ]
