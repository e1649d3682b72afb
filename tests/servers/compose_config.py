"""What Compose makes of our files: merged and filled in, nothing started. The command is enough, no engine is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
DEVELOPMENT = PROJECT / "docker-compose.yaml"
PRODUCTION = PROJECT / "deploy" / "compose" / "production.yaml"

ANSWER_SECONDS = 60.0

Configuration = dict[str, Any]


def configuration(
    *files: Path, environment: Mapping[str, str] | None = None, env_file: Path | None = None
) -> Configuration:
    """Skips where there is no Compose."""
    done = _config(*files, environment=environment or {}, env_file=env_file)
    assert done.returncode == 0, done.stderr
    found: Configuration = json.loads(done.stdout)
    return found


def refusal(*files: Path, environment: Mapping[str, str]) -> str:
    """What Compose says instead."""
    done = _config(*files, environment=environment, env_file=None)
    assert done.returncode != 0, "it was not refused"
    return done.stderr


def _config(*files: Path, environment: Mapping[str, str], env_file: Path | None) -> subprocess.CompletedProcess[str]:
    _require_compose()
    named = [argument for file in files for argument in ("--file", str(file))]
    filled = ["--env-file", str(env_file)] if env_file else []
    return subprocess.run(
        ["docker", "compose", "--project-directory", str(PROJECT), *filled, *named, "config", "--format", "json"],
        cwd=PROJECT,
        env=_own(environment),
        capture_output=True,
        text=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )


def _own(environment: Mapping[str, str]) -> dict[str, str]:
    """Nobody's .env, and nothing of the shell: either could hold a setting that is passed on."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"COMPOSE_DISABLE_ENV_FILE": "1"} | dict(environment)


def _require_compose() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no program `docker`: install it with its plug-in Compose")
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=ANSWER_SECONDS, check=False)
    if done.returncode != 0:
        pytest.skip("`docker compose` does not run: install Docker's plug-in Compose")
