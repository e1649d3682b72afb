"""The wall clock of one process, set by a test while it runs: libfaketime, of Debian. Its steady clock stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.servers import apt

PACKAGE = "libfaketime"
NONE_INSTALLED = f"These tests need libfaketime: install it (`apt-get install {PACKAGE}`)."


def faketime_library() -> Path:
    """The installed one, installed now where apt may; without one the test skips, or fails where CI is set."""
    library = _installed()
    if library is None and apt.can_install() and apt.install(PACKAGE):
        library = _installed()
    if library is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NONE_INSTALLED)
    return library


def _installed() -> Path | None:
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class WallClock:
    """Give `settings` to the environment of a process. It is `wrong` by so many seconds, from that moment on."""

    def __init__(self, library: Path, file: Path, *, wrong: float) -> None:
        self._file = file
        self.settings = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",  # the file is read each time
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(wrong)

    def set(self, wrong: float) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(f"{wrong:+.0f}\n")
        partial.replace(self._file)
