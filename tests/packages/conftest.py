from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e_required import missing
from tests.packages.building import wheel_of_the_checkout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ours, where the locked build backend can be had from PyPI or uv's cache."""
    uv = Path(sys.executable).with_name("uv")
    asked = subprocess.run(
        [uv, "pip", "install", "--dry-run", "--target", tmp_path_factory.mktemp("asking"), "setuptools>=77"],
        capture_output=True,
        check=False,
    )
    if asked.returncode != 0:
        missing("PyPI can't be reached")
    return wheel_of_the_checkout(tmp_path_factory.mktemp("built"))
