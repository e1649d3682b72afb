"""A throw-away stack: `services up` on a free port in a temporary folder. Both are always removed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from deploy.standalone.postgres.orphans import kill_servers

PROJECT = Path(__file__).resolve().parents[2]
READY_SECONDS = 90.0  # 3 s on a quiet machine
STOP_SECONDS = 30.0
STEP = 0.05
TAIL_LINES = 15
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StackFailed(Exception):
    """The text says what was missing, and ends with the last output of the stack."""


@dataclass(frozen=True, slots=True)
class Stack:
    base_url: str
    otp_file: Path
    folder: Path

    def tail(self) -> str:
        return _tail(self.folder)


@contextmanager
def throwaway_stack(
    *, demo_accounts: bool, say: Callable[[str], None], settings: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Yields a ready stack. `settings` are its environment variables. Raises `StackFailed`."""
    with _signals_end_us(), _folder() as folder:
        say(f"Starting a throw-away stack in {folder} ...")
        began = time.monotonic()
        process = _launch(folder, demo_accounts=demo_accounts, settings=settings or {})
        try:
            base_url = _wait_until_ready(process, folder, say)
            say(f"Ready at {base_url} after {time.monotonic() - began:.1f} s.")
            yield Stack(base_url, folder / "state" / "otp-logs.txt", folder)
        finally:
            _stop(process, folder)
            say("The stack is stopped, its folder removed.")


@contextmanager
def _folder() -> Iterator[Path]:
    """Its name is short: the path of a Unix socket may have 107 bytes at most."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="l2fa-"))
    except OSError as error:
        raise StackFailed(f"Cannot make a temporary folder: {error.strerror}. Choose a place with TMPDIR.") from error
    folder.chmod(0o711)  # PostgreSQL may run as another user, who must pass through
    try:
        yield folder
    finally:
        with _undisturbed():
            shutil.rmtree(folder, ignore_errors=True)


def _launch(folder: Path, *, demo_accounts: bool, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # Port 0: a port that was found free could be in use by now.
    options = ["--port", "0", "--state-dir", str(folder / "state"), "--demo" if demo_accounts else "--no-demo"]
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "services", "up", *options],
            cwd=PROJECT,
            env=os.environ | dict(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # no Ctrl-C: a second signal would skip the clean-up of the stack
        )


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path, say: Callable[[str], None]) -> str:
    deadline = time.monotonic() + READY_SECONDS
    last_said = ""
    with httpx.Client(timeout=2, trust_env=False) as client:
        while True:
            base_url, awaited = _look(client, folder)
            if base_url and not awaited:
                return base_url
            if process.poll() is not None:
                raise StackFailed(f"The stack ended by itself with status {process.returncode}.\n{_tail(folder)}")
            if time.monotonic() > deadline:
                raise StackFailed(f"Not within {READY_SECONDS:.0f} s: {awaited}.\n{_tail(folder)}")
            if awaited != last_said:
                say(f"Waiting for: {awaited}")
                last_said = awaited
            time.sleep(STEP)


def _look(client: httpx.Client, folder: Path) -> tuple[str, str]:
    said = (folder / "output").read_text(errors="replace")
    address = re.search(r"(http://\S+)/api/v1\b", said)
    readiness = re.search(r"http://\S+/readyz\b", said)
    if not address or not readiness:
        return "", "PostgreSQL, the schemas and the services"
    try:
        answer = client.get(readiness[0])
        if answer.status_code != httpx.codes.OK:
            missing = [name for name, holds in answer.json()["checks"].items() if not holds]
            return address[1], f"readiness of {', '.join(missing)}"
        # The public port opens after the management port.
        client.get(f"{address[1]}/.well-known/jwks.json").raise_for_status()
    except (httpx.HTTPError, ValueError, KeyError):
        return address[1], "its first answers"
    return address[1], ""


def _tail(folder: Path) -> str:
    lines: list[str] = []
    for title, path in (("output", folder / "output"), ("log", folder / "state" / "login2fa.log")):
        if path.exists() and (said := path.read_text(errors="replace").splitlines()[-TAIL_LINES:]):
            lines += [f"The last lines of the stack's {title}:", *(f"  {line}" for line in said)]
    return "\n".join(lines)


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    with _undisturbed():
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # After an unclean end PostgreSQL may still run: stop it before its folder is removed.
        kill_servers(folder / "state" / "postgres" / "data")


@contextmanager
def _signals_end_us() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind like Ctrl-C. A repeated signal is ignored, so the clean-up completes."""

    def end(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    # An ignored signal stays ignored, for nohup.
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) in defaults}
    for number in before:
        signal.signal(number, end)
    yield
    for number, handler in before.items():  # not after a signal: the clean-up must not be interrupted
        signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignores signals inside the block, whose time must be bounded."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
