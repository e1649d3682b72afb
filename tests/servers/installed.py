"""Programs that a Debian package brings: the tests take the one that is installed, or install it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.servers import apt

# Debian's place for servers is not on every user's PATH.
_SBIN = "/usr/sbin:/usr/local/sbin"


def program(name: str, package: str, needed: str) -> Path:
    """The path of `name`, installed now where apt may; without it the test skips, or fails where CI is set."""
    found = _path(name)
    if found is None and apt.can_install() and apt.install(package):
        found = _path(name)
    if found is None:
        missing = f"These tests need {needed}: install it (`apt-get install {package}`; it need not run)."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return Path(found)


def _path(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_SBIN)
