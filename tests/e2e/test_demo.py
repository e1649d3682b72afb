"""`make demo` as a person runs it: a real stack, started, walked through, and gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.standalone.postgres.orphans import servers
from deploy.standalone.throwaway import PROJECT
from tests.polling import wait_until
from tests.servers.leash import Leash

COMMAND = [sys.executable, "-m", "deploy.standalone.demo"]
JSON_WEB_TOKEN = re.compile(r"eyJ[\w-]{20,}")
WHOLE_CODE = re.compile(r'(?:/|"otp": ")\d{6}\b|(?:/reset/|"code": ")[0-9A-Z]{10}\b')


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A place for the demo's folder that every user may look into: pytest's own folders are private."""
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder


def environment(temporary: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(temporary)}


def ended_by(number: signal.Signals, demo: subprocess.Popen[bytes]) -> bool:
    """Send the signal again and again: impatience must leave nothing behind."""
    demo.send_signal(number)
    return demo.poll() is not None


def test_the_demo_walks_through_and_leaves_nothing_behind(temporary: Path) -> None:
    done = subprocess.run(
        COMMAND, cwd=PROJECT, env=environment(temporary), capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "12. So is the refresh token" in done.stdout
    assert "18. Log in with the passkey alone" in done.stdout
    assert "23. Log in with the new password" in done.stdout
    assert "Every step went as it should." in done.stdout
    assert not JSON_WEB_TOKEN.search(done.stdout)
    assert not WHOLE_CODE.search(done.stdout)
    assert "\033[" not in done.stdout
    assert list(temporary.iterdir()) == []


def test_a_stack_that_can_not_start_exits_1_and_shows_what_it_said(temporary: Path) -> None:
    done = subprocess.run(
        COMMAND,
        cwd=PROJECT,
        env=environment(temporary) | {"OTP_LIFETIME": "soon"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "The stack ended by itself with status" in done.stdout
    assert "OTP_LIFETIME" in done.stdout
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_interrupted_stops_its_stack(temporary: Path, number: signal.Signals, status: int) -> None:
    with subprocess.Popen(
        COMMAND, cwd=PROJECT, env=environment(temporary), stdout=subprocess.DEVNULL, start_new_session=True
    ) as demo:
        leash = Leash(demo.pid)
        (data,) = wait_until(lambda: list(temporary.glob("*/state/postgres/data")), timeout=60)
        wait_until(lambda: servers(data), timeout=60)
        wait_until(lambda: ended_by(number, demo), timeout=60)
        leash.release()

    assert demo.returncode == status
    assert list(temporary.iterdir()) == []
    assert not servers(data)
