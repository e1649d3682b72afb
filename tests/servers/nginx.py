"""Debian's nginx as a process of the tests, in a folder of its own: nothing of it is shared with one of the machine.

The folder holds `nginx.conf`, and gets what nginx writes. Includes in it are relative to the folder, as nginx has it.
Works as root and as an ordinary user, and several run side by side.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.polling import wait_until
from tests.servers.installed import program
from tests.servers.leash import Leash, kill_group

START_SECONDS = 20.0  # 0.1 s on a quiet machine
STOP_SECONDS = 30.0


class NginxFailed(Exception):
    """It did not start; the text is what it wrote."""


def nginx_program() -> Path:
    return program("nginx", "nginx", "nginx 1.22 or newer")


def expanded(template: str, variables: Mapping[str, str]) -> str:
    """What `envsubst` makes of `template` in the public image: only these variables; nginx's own stay as they are."""
    names = "|".join(map(re.escape, variables))
    return re.sub(rf"\$(?:{{({names})}}|({names})\b)", lambda match: variables[match[1] or match[2]], template)


class Nginx:
    """A running nginx; `written` is all that it has put on stdout and stderr."""

    def __init__(self, program: Path, folder: Path, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._program = program
        self._folder = folder
        self._output = folder / "output.log"

    def start(self) -> None:
        """Start, and return when it accepts connections; raises `NginxFailed`."""
        # Root's workers would be another user's, and that one can not enter a folder of pytest's.
        user = "user root;" if os.geteuid() == 0 else ""
        options = ["-p", self._folder, "-c", self._folder / "nginx.conf", "-e", "stderr", "-g", f"daemon off; {user}"]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [str(each) for each in (self._program, *options)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops it in order
            )
        self._leash = Leash(self._process.pid)
        try:
            wait_until(lambda: self._process.poll() is not None or self._answers(), START_SECONDS)
        except AssertionError as error:
            self.stop()
            raise NginxFailed(self.written()) from error
        if self._process.poll() is not None:
            self.stop()
            raise NginxFailed(self.written())

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it, without waiting for connections that clients keep open."""
        self._leash.release()
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            kill_group(self._process)

    def written(self) -> str:
        return self._output.read_text(errors="replace")


@contextmanager
def running_nginx(folder: Path, port: int) -> Iterator[Nginx]:
    """Run nginx on `folder/nginx.conf`, which listens on 127.0.0.1:`port` and puts its pid and temporary files there.

    Skips the test, or fails it where CI is set, when nginx can not be had. Raises `NginxFailed`.
    """
    nginx = Nginx(nginx_program(), folder, port)
    nginx.start()
    try:
        yield nginx
    finally:
        nginx.stop()
