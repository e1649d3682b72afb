"""The `docker` command: what it writes, and a failure that says what it said."""

from __future__ import annotations

import json
import subprocess
from typing import Any

ANSWER_SECONDS = 60.0


def docker(*arguments: str) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def inspected(*names: str) -> list[dict[str, Any]]:
    """What the engine knows of these containers or images."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", *names))
    return found
