"""The commit that is released, in a folder of its own: nothing that lies uncommitted in a checkout gets in."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]

_SETUPTOOLS = re.compile(r"echo '(setuptools==\S+ --hash=\S+)'")


class ReleaseFailed(Exception):
    """The message is for the person who typed `make release`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    folder: Path
    commit: str
    epoch: str  # SOURCE_DATE_EPOCH: that of the environment, else the date of the commit

    @property
    def version(self) -> str:
        return str(tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]["version"])

    @property
    def build_backend(self) -> str:
        """The locked one, which the image is built with too."""
        found = _SETUPTOOLS.search((self.folder / "deploy" / "Dockerfile").read_text())
        if found is None:
            raise ReleaseFailed("deploy/Dockerfile pins no setuptools")
        return found[1]


def run(*command: str | Path, cwd: Path = PROJECT, environment: Mapping[str, str] | None = None) -> str:
    """Raises `ReleaseFailed`, with what the command said."""
    variables = {**os.environ, **(environment or {})}
    try:
        # With somebody's own umask the modes of files, and so the wheels, would depend on who releases.
        done = subprocess.run(command, cwd=cwd, env=variables, umask=0o022, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ReleaseFailed(f"There is no program {command[0]} here") from error
    if done.returncode:
        raise ReleaseFailed(f"{' '.join(map(str, command))}\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def exported(folder: Path) -> Source:
    """Raises `ReleaseFailed`."""
    commit = run("git", "rev-parse", "HEAD")
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "show", "-s", "--format=%ct", "HEAD")
    archive = folder / "source.tar"
    run("git", "-c", "tar.umask=user", "archive", "--output", archive, "HEAD")
    (folder / "source").mkdir()
    run("tar", "--extract", "--same-permissions", "--file", archive, "--directory", folder / "source")
    archive.unlink()
    return Source(folder=folder / "source", commit=commit, epoch=epoch)
