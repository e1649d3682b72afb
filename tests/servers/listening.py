"""An installed program that listens on a port: started, waited for, and stopped with the tests."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.polling import wait_until
from tests.servers.leash import Leash, kill_group

START_SECONDS = 60.0  # 1 s on a quiet machine


class ProgramFailed(Exception):
    """It ended, or did not accept in time; the text is the end of what it wrote."""


@contextmanager
def running(
    command: Sequence[str], port: int, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run `command` inside the block, which begins when 127.0.0.1:`port` accepts; its output goes to `folder`.

    Raises:
        ProgramFailed: it ended, or did not accept within START_SECONDS.
    """
    log = folder / "output.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for pytest, which then stops it
        )
    leash = Leash(process.pid)
    try:
        _wait(process, port, log)
        yield
    finally:
        leash.release()
        kill_group(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    try:
        wait_until(lambda: process.poll() is not None or accepts(port), START_SECONDS)
    except AssertionError as error:
        raise ProgramFailed(_last_words(log)) from error
    if process.poll() is not None:
        raise ProgramFailed(_last_words(log))


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]
