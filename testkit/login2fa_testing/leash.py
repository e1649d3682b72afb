"""Containers must not outlive the tests, however those end: SIGTERM, kill -9, a crash of the interpreter.

A small shell waits at the end of a pipe whose other end only this process holds. When this process is gone, for
whatever reason, the shell reads end-of-file and runs its command; after `release` it does nothing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


class Leash:
    """Runs `command` when this process ends without having called `release`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._shell = subprocess.Popen(  # noqa: S603 - its arguments are a list
            ["/bin/sh", "-c", 'read -r word || exec "$@" >/dev/null 2>&1', "leash", *command],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the whole foreground group: it would end the shell too
        )

    def release(self) -> None:
        self._shell.communicate(b"released\n")
