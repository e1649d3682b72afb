"""Runs the programs that make clients and examine documents, and the clients that they make."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Generators:
    """`installed`: a Python environment with `node_modules` in it. `folder`: where clients are made."""

    installed: Path
    folder: Path

    @property
    def document(self) -> Path:
        """As the running stack has served it."""
        return self.folder / "openapi.json"

    def python(self, program: str, *arguments: str | Path, cwd: Path | None = None) -> str:
        return self.run(self.installed / "bin" / program, *arguments, cwd=cwd)

    def node(self, program: str, *arguments: str | Path, cwd: Path | None = None) -> str:
        return self.run(self.installed / "node_modules" / ".bin" / program, *arguments, cwd=cwd)

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """What it says. Fails with that if it does not end with 0."""
        path = os.pathsep.join([str(self.installed / "bin"), os.environ["PATH"]])
        environment = os.environ | {"PATH": path, "NO_COLOR": "1"}
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said
