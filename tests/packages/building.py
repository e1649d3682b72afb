"""Copies of the checkout, and what is built from them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
OURS = ("services", "shared", "deploy")
# A build leaves files behind, and the name of its folder must not matter.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*_cache")


def done(*command: str | Path, cwd: Path, seconds: float = 900, **environment: str) -> str:
    """Without PYTHONPATH and VIRTUAL_ENV, which would lead back to the repository."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    # uv trusts a list of its own unless told to take the machine's authorities, as pip does.
    ended = subprocess.run(
        command, cwd=cwd, env=kept | {"UV_NATIVE_TLS": "true"} | environment, capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def wheel_of_the_checkout(folder: Path) -> Path:
    copy = folder / "checkout"
    for name in OURS:
        shutil.copytree(PROJECT / name, copy / name, ignore=_LEFT_OUT)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, copy)
    uv = Path(sys.executable).with_name("uv")
    done(uv, "build", "--wheel", "--quiet", "--out-dir", folder / "dist", cwd=copy)
    shutil.rmtree(copy)
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel
