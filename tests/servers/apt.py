"""Installing a Debian package for the tests, without letting it start anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# Debian's convention: maintainer scripts ask this program before starting a service; 101 means "do not".
POLICY = Path("/usr/sbin/policy-rc.d")
SECONDS = 600


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(package: str) -> bool:
    """Install `package` as root; False when apt could not."""
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        return _apt("update") and _apt("install", "--yes", "--no-install-recommends", package)
    finally:
        if ours:
            POLICY.unlink()


def _apt(*arguments: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            ["apt-get", "-qq", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
