"""Running `docker ...`: under a deadline, ended with us, and one sentence when there is no Docker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

END_SECONDS = 15.0
TAIL_LINES = 20


class DockerFailed(Exception):
    """Docker is missing, or a command of it failed. The first line says what and why."""


def run(
    command: Sequence[str], *, cwd: str | None = None, environment: Mapping[str, str] | None = None, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Return what `command` wrote, whatever its exit code.

    Raises:
        DockerFailed: the program is not there, or did not end within `seconds`.
    """
    try:
        # A session of its own: Ctrl-C is for us, who then remove what was started, and not for a half-way `up`.
        process = subprocess.Popen(  # noqa: S603 - a list, and no shell
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise DockerFailed(
            f"There is no program `{command[0]}` here: install Docker with its plugin Compose, 2.20 or newer."
        ) from None
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise DockerFailed(f"`{' '.join(command)}` did not end within {seconds:.0f} s.") from None
    finally:
        _end(process)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):  # after SIGTERM, Compose gives up in order
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=END_SECONDS)
            return


def last_lines(text: str, count: int = TAIL_LINES) -> str:
    return "\n".join(text.strip().splitlines()[-count:])
