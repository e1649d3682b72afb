"""Debian's Caddy as a process of the tests: no administration port, nothing in anybody's home."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import apt
from tests.servers.listening import running

NONE_INSTALLED = "These tests need Caddy 2.6 or newer: install it (`apt-get install caddy`; it need not run)."


def caddy_program() -> Path:
    """The installed Caddy, installed now where apt may; without one the test skips, or fails where CI is set."""
    found = shutil.which("caddy")
    if found is None and apt.can_install() and apt.install("caddy"):
        found = shutil.which("caddy")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NONE_INSTALLED)
    return Path(found)


@contextmanager
def running_caddy(variables: Mapping[str, str], port: int, folder: Path) -> Iterator[str]:
    """Caddy on `folder/Caddyfile`, which reads `variables` and listens on 127.0.0.1:`port`; its URL."""
    command = [str(caddy_program()), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    ours = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with running(command, port, folder, {**ours, **variables}):
        yield f"http://127.0.0.1:{port}"
