"""The version before this one, as a checkout. With each release its commit takes the place of this one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]

# Before 1.0.0 nothing was released: the last commit whose tables lack columns that these have.
COMMIT = "370f19268808413133cef3a38df9f093ec75e915"


def check_out(folder: Path) -> Path:
    """Skips the test in a clone without history."""
    known = subprocess.run(["git", "cat-file", "-e", COMMIT], cwd=PROJECT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip(f"this clone does not have the commit {COMMIT[:7]} of the version before")
    archive = subprocess.run(["git", "archive", COMMIT], cwd=PROJECT, capture_output=True, check=True).stdout
    folder.mkdir()
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
    return folder
