"""Chromium for tests in a browser: the installed one, or Debian's, installed as root or else unpacked in `.venv`."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers import apt

NONE_INSTALLED = "These tests need Chromium: install it (`apt-get install chromium`), or Google Chrome."
NAMES = ("chromium", "google-chrome", "google-chrome-stable")
UNPACKED = Path(sys.prefix) / "chromium"

_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>/usr/share/fonts</dir><dir>{root}/usr/share/fonts</dir><cachedir>{root}/fonts</cachedir></fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Chromium:
    program: Path
    environment: dict[str, str] = field(default_factory=dict)


def chromium() -> Chromium:
    """Without one that can be had the test skips, or fails where CI or REQUIRE_BROWSER is set."""
    found = _installed()
    if found is None and apt.can_install() and apt.install("chromium"):
        found = _installed()
    if found is None and (UNPACKED.exists() or apt.unpack("chromium", UNPACKED)):
        found = _unpacked(UNPACKED)
    if found is None:
        required = os.environ.get("CI") or os.environ.get("REQUIRE_BROWSER")
        (pytest.fail if required else pytest.skip)(NONE_INSTALLED)
    return found


def _installed() -> Chromium | None:
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    return Chromium(Path(on_path)) if on_path else None


def _unpacked(root: Path) -> Chromium:
    # Debian's script `chromium` reads /etc/chromium.d: the program itself is told its libraries and fonts.
    libraries = {each.parent for place in ("lib", "usr/lib") for each in (root / place).glob("*-linux-gnu*/**/*.so*")}
    fonts = root / "fonts.conf"
    fonts.write_text(_FONTS.format(root=root))
    environment = {"LD_LIBRARY_PATH": ":".join(sorted(map(str, libraries))), "FONTCONFIG_FILE": str(fonts)}
    return Chromium(root / "usr" / "lib" / "chromium" / "chromium", os.environ | environment)
