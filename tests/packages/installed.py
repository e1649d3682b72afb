"""The wheel, installed by pip into an environment of its own, and run where there is nothing else."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.packages.building import done
from tests.polling import wait_until

UV = Path(sys.executable).with_name("uv")

_NOBODY = 65534
_READY_SECONDS = 180
_STOP_SECONDS = 60


def python_of(version: str) -> Path | None:
    """An interpreter of this version: rather one that every user can run. A wrapper of pyenv may lead nowhere."""
    named = [Path("/usr/bin"), *map(Path, os.environ.get("PATH", "").split(os.pathsep))]
    candidates = [folder / f"python{version}" for folder in named]
    candidates += Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    runs = f"import sys, ssl; sys.exit(sys.version_info[:2] != ({version.replace('.', ', ')}))"
    for each in candidates:
        if os.access(each, os.X_OK):
            asked = subprocess.run([each, "-c", runs], capture_output=True, check=False)
            if asked.returncode == 0:
                return each
    return None


class Installation:
    """Run as nobody if the tests are root's, as long as nobody can reach the interpreter."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.folder = folder
        self.home, self.cwd = folder / "home", folder / "empty"
        self.environment = folder / "venv"
        self._as: dict[str, Any] = {}
        for each in (self.home, self.cwd):
            each.mkdir()
        done(UV, "venv", "--quiet", "--seed", "--python", python, self.environment, cwd=folder)
        if os.geteuid() == 0 and _reachable(python):
            self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            for each in (self.home, self.cwd):
                os.chown(each, _NOBODY, _NOBODY)

    def pip_install(self, *what: str) -> None:
        done(self.environment / "bin" / "pip", "install", "--quiet", *what, cwd=self.folder)

    def run(self, *command: str) -> str:
        ended = subprocess.run(
            self._command(command), **self._alone, capture_output=True, text=True, timeout=_READY_SECONDS, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return str(ended.stdout)

    @contextmanager
    def up(self) -> Iterator[str]:
        """`login2fa up`: its public URL. Ctrl-C must end it."""
        log = self.folder / "up.log"
        with log.open("w") as output:
            command = self._command(("login2fa", "up", "--port", "0"))
            process = subprocess.Popen(command, **self._alone, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield _address(process, log)
            process.send_signal(signal.SIGINT)
            assert process.wait(_STOP_SECONDS) == 0, log.read_text()
        finally:
            process.terminate()  # after a failure: killed, it would leave its PostgreSQL behind
            process.wait(_STOP_SECONDS)

    @property
    def _alone(self) -> dict[str, Any]:
        """Nothing of this environment and this folder."""
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8"}
        return {"cwd": self.cwd, "env": variables, **self._as}

    def _command(self, command: tuple[str, ...]) -> list[str]:
        return [str(self.environment / "bin" / command[0]), *command[1:]]


@contextmanager
def installation(python: Path) -> Iterator[Installation]:
    # Others may look into this folder; pytest's own are closed to them.
    folder = Path(tempfile.mkdtemp(prefix="login2fa-installed-"))
    folder.chmod(0o755)
    try:
        yield Installation(python, folder)
    finally:
        shutil.rmtree(folder)


def _reachable(python: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in python.resolve().parents)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    def said() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(r"running at +(http://[^/]+)/", log.read_text())

    found = wait_until(said, _READY_SECONDS)
    assert found is not None
    return found[1]
