"""Servers must not outlive the tests, however those end: Ctrl-C, SIGTERM, kill -9, a crash.

A small shell waits at the end of a pipe whose other end only this process holds. When this process is gone,
for whatever reason, the shell reads end-of-file and kills; after `release` it does nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess


class Leash:
    """Kills the process groups `groups` when this process ends without having called `release`."""

    def __init__(self, *groups: int, signal_name: str = "KILL") -> None:
        targets = " ".join(f"-{group}" for group in groups)
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", f"read -r word || kill -s {signal_name} -- {targets}"],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the whole foreground group: it would kill the shell too
        )

    def release(self) -> None:
        """Call it before the groups end, so that a recycled number is never signalled."""
        self._shell.communicate(b"released\n")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 the session that `process` leads, and reap it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
