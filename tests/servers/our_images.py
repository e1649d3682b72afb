"""The images of this checkout, built once in a test run: what is tested is what stands here."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]
BUILD_SECONDS = 900.0  # 2 s when nothing has changed


@functools.cache
def build_failure() -> str | None:
    """Build them; the reason why they can not be had, or None."""
    command = ["docker", "compose", "--file", str(PROJECT / "docker-compose.yaml"), "build", "--quiet"]
    try:
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=os.environ | {"COMPOSE_DISABLE_ENV_FILE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return "there is no program `docker`"
    except subprocess.TimeoutExpired:
        return f"`docker compose build` did not end within {BUILD_SECONDS:.0f} s"
    if done.returncode == 0:
        return None
    return f"`docker compose build` failed:\n{done.stderr[-4000:]}"
