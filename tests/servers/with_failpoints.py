"""A service with failpoints: `LOGIN2FA_FAILPOINTS=FILE python -m tests.servers.with_failpoints auth`.

A line `relay: claimed=kill@3` in FILE makes the process that reads it kill itself (SIGKILL) the third time that it
reaches this failpoint; `relay: claimed=freeze` makes it stop (SIGSTOP) the first time. FILE may be written and removed
while the service runs; it is gone once it has taken effect.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Literal, get_args

from services import cli
from shared import failpoints
from shared.failpoints import Failpoint

VARIABLE = "LOGIN2FA_FAILPOINTS"

Act = Literal["kill", "freeze"]

_SIGNALS: dict[str, signal.Signals] = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


def arm(file: Path, failpoint: Failpoint, act: Act, *, time: int = 1) -> None:
    """The process that reads `file` does `act` the `time`-th time that it reaches `failpoint` from now on."""
    new = file.with_suffix(".new")
    new.write_text(f"{failpoint}={act}@{time}\n")
    new.rename(file)  # whole: it is read at any moment


def install(file: Path) -> None:
    def reached(failpoint: Failpoint) -> None:
        try:
            line = file.read_text()
        except FileNotFoundError:
            return
        armed, act, time = _parsed(line)
        if armed != failpoint:
            return
        if time > 1:
            file.write_text(f"{armed}={act}@{time - 1}\n")
            return
        file.unlink()
        os.kill(os.getpid(), _SIGNALS[act])

    failpoints.action = reached


def _parsed(line: str) -> tuple[str, str, int]:
    failpoint, _, rest = line.strip().partition("=")
    act, _, time = rest.partition("@")
    if failpoint not in get_args(Failpoint) or act not in _SIGNALS:
        raise ValueError(f"no such failpoint or act: {line!r}")
    return failpoint, act, int(time or 1)


if __name__ == "__main__":
    install(Path(os.environ[VARIABLE]))
    cli.main()
