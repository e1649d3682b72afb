"""A program of ours as a real process: started, watched until it is ready, ended in order or killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from shared.failpoints import Failpoint
from tests.polling import eventually
from tests.servers import with_failpoints
from tests.servers.leash import Leash, kill_group

PROJECT = Path(__file__).parents[2]
READY_SECONDS = 90.0  # 2 s on a quiet machine
END_SECONDS = 90.0

# How long a failing login waits for an event that may be on its way. By default a quarter of a second; here more, so
# that a stall of this machine's disk is not taken for a refusal. Only logins that fail pay for it.
LOGIN_FAILURE_DEADLINE = "2"

# One address has a quarter of this wait for a hash. Here all clients are one address, and the machine may be busy.
HASH_MAX_WAIT = "60"

# A program gets its settings from its environment: somebody's own must not reach it.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


class Program:
    """`python -m services <arguments>` with `settings` as its environment, writing into `folder`/`name`.log.

    `prefix` is a command that runs it: as another user, on another disk. With `failpoints` it can be armed.
    `checkout` is the folder of the code.
    """

    def __init__(
        self,
        name: str,
        *arguments: str,
        settings: Mapping[str, str],
        folder: Path,
        prefix: tuple[str, ...] = (),
        failpoints: bool = False,
        checkout: Path = PROJECT,
    ) -> None:
        self.name = name
        self._checkout = checkout
        self.settings = dict(settings)
        self.log = folder / f"{name}.log"
        self._failpoint = folder / f"{name}.failpoint"
        module = "services"
        if failpoints:
            module = "tests.servers.with_failpoints"
            self.settings[with_failpoints.VARIABLE] = str(self._failpoint)
        self._command = [*prefix, sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: Leash | None = None

    def start(self, *, stdin: str | None = None) -> None:
        """`stdin`: all that it reads there."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._checkout,
                env=inherited | self.settings,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for pytest, which then ends it
            )
        if stdin is not None and self._process.stdin is not None:
            self._process.stdin.write(stdin.encode())
            self._process.stdin.close()
        # TERM: the standalone one has to take its Postgres along.
        self._leash = Leash(self._process.pid, signal_name="TERM")

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process is not None else None

    async def until_ready(self, management_url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:

            async def ready() -> bool:
                if self.exit_code is not None:
                    raise RuntimeError(f"{self.name} has ended with {self.exit_code}:\n{self.output()}")
                try:
                    answer = await client.get(f"{management_url}/readyz?exclude=mail-server")  # as its pod is probed
                except httpx.HTTPError as error:
                    raise AssertionError(f"{self.name} does not answer ({error!r}):\n{self.output()}") from error
                assert answer.status_code == 200, f"{self.name}: {answer.text}\n{self.output()}"
                return True

            await eventually(ready, READY_SECONDS)

    def arm(self, failpoint: Failpoint, act: with_failpoints.Act = "kill", *, time: int = 1) -> None:
        """It kills or freezes itself the `time`-th time that it reaches `failpoint` from now on."""
        assert with_failpoints.VARIABLE in self.settings, f"{self.name} was started without failpoints"
        with_failpoints.arm(self._failpoint, failpoint, act, time=time)

    def disarm(self) -> None:
        self._failpoint.unlink(missing_ok=True)

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and says nothing any more."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGCONT)

    @property
    def is_frozen(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def kill(self) -> None:
        """Kill -9, and return when it is gone."""
        if self._process is None:
            return
        self._release()
        kill_group(self._process)

    async def terminate(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; the exit code once it has."""
        assert self._process is not None, f"{self.name} was never started"
        self._release()
        self._process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """The exit code, once it has one."""
        process = self._process
        assert process is not None, f"{self.name} was never started"
        try:
            code = await asyncio.to_thread(process.wait, END_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(f"{self.name} did not end:\n{self.output()}") from error
        self._release()
        return code

    def _release(self) -> None:
        if self._leash is not None:
            self._leash.release()
            self._leash = None

    def output(self, since: int = 0) -> str:
        """What it has written from the byte `since` on; the end of it, if it is much."""
        return tail(self.log, since)


def tail(log: Path, since: int = 0, length: int = 8000) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - length))
        return file.read().decode(errors="replace")
