"""Servers that tests started do not outlive the tests, however those ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.polling import wait_until
from tests.servers.leash import Leash, kill_group

PROJECT = Path(__file__).parents[2]

# Stands for pytest: starts a server, puts it on a leash, and is killed.
PARENT = """
import signal, subprocess
from tests.servers.leash import Leash
server = subprocess.Popen(["sleep", "60"], start_new_session=True)
leash = Leash(server.pid)
print(server.pid, flush=True)
signal.pause()
"""


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_server_outlives_tests_that_were_killed(number: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout
        server = int(parent.stdout.readline())
        assert running(server)
        parent.send_signal(number)

    wait_until(lambda: not running(server))


def test_a_released_leash_kills_nothing() -> None:
    server = subprocess.Popen(["sleep", "60"], start_new_session=True)

    Leash(server.pid).release()

    assert server.poll() is None
    kill_group(server)
