"""Stops servers that outlived their parent: kill -9 of `make up` leaves PostgreSQL running."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

FAST_SECONDS = 15.0
STEP = 0.02


def stop_orphans(data: Path) -> None:
    """Stops all servers on `data` and removes their lock file. Call only with the folder's lock held."""
    if not Path("/proc/self/cwd").exists():
        return  # no way to tell: PostgreSQL's own check of the lock file decides
    pid_file = data / "postmaster.pid"
    with suppress(OSError, ValueError, IndexError):
        postmaster = int(pid_file.read_text().split()[0])
        if postmaster in servers(data):
            os.kill(postmaster, signal.SIGINT)
            wait_for(lambda: postmaster not in servers(data), FAST_SECONDS)
    kill_servers(data)
    # PostgreSQL would not start if another process now has that pid. Our lock already prevents a second server.
    pid_file.unlink(missing_ok=True)


def kill_servers(data: Path) -> None:
    """Kill -9 for every process of the cluster, also backends without a postmaster."""
    for pid in servers(data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not servers(data), FAST_SECONDS)


def servers(data: Path) -> list[int]:
    """Found by name and working directory: the pid in postmaster.pid may belong to another process by now."""
    try:
        place = data.stat()
    except FileNotFoundError:
        return []
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _serves(entry, place)]


def _serves(process: Path, place: os.stat_result) -> bool:
    # The process may have ended, or belong to another user.
    with suppress(OSError):
        called = (process / "comm").read_text().strip()
        return called == "postgres" and os.path.samestat((process / "cwd").stat(), place)
    return False


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(STEP)
    return met
