"""Debian packages for the tests: installed as root, without starting anything, or else unpacked into a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
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


def unpack(package: str, folder: Path) -> bool:
    """Unpack `package`, and what this machine lacks of its dependencies, without root; False when apt could not.

    No script of a package runs. `folder` is there whole, or not at all.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        lists, cache, root = (Path(temporary) / name for name in ("lists", "cache", "root"))
        for partial in (lists / "partial", cache / "archives" / "partial"):
            partial.mkdir(parents=True)
        root.mkdir()
        # Nothing of the machine's own is written, so its locks are not needed, which are root's.
        own = [f"Dir::State::Lists={lists}", f"Dir::Cache={cache}", "Debug::NoLocking=1", "APT::Sandbox::User="]
        options = [part for option in own for part in ("-o", option)]
        _apt(*options, "update")  # one foreign source that does not answer is no reason to give up
        if not _apt(*options, "install", "--yes", "--no-install-recommends", "--download-only", package):
            return False
        # A C library of its own beside the machine's loader would crash every program.
        for archive in set((cache / "archives").glob("*.deb")) - set((cache / "archives").glob("libc6_*")):
            subprocess.run(["dpkg", "-x", archive, root], check=True, timeout=SECONDS)
        with suppress(FileExistsError):  # another run was quicker
            root.rename(folder)
    return True


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
