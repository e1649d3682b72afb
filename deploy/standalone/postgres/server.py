"""The embedded PostgreSQL of `make up`: a private server in one folder, which ends with this process.

1. Nothing outside the folder changes, also no permission and no owner.
2. One process at a time holds the lock of the folder. It may stop any server that a kill -9 left there.
3. `data` is a whole cluster or absent.
4. `postgres.log` holds no statement and no row: they could hold a password's hash.
"""

from __future__ import annotations

import fcntl
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL

from deploy.standalone.postgres.account import account_for
from deploy.standalone.postgres.address import Address, address_for
from deploy.standalone.postgres.cluster import ensure_cluster, private_folder, superuser_password
from deploy.standalone.postgres.failures import PostgresFailed, explained, from_output
from deploy.standalone.postgres.orphans import kill_servers, stop_orphans, wait_for
from deploy.standalone.postgres.programs import environment, programs

READY_SECONDS = 120.0  # 0.2 s usually; a recovery after a crash takes longer
FAST_STOP_SECONDS = 20.0
IMMEDIATE_STOP_SECONDS = 5.0
LOG_BYTES = 5_000_000
PORT_ATTEMPTS = 3

SETTINGS = {
    "unix_socket_permissions": "0700",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "io_method": "sync",  # else three more processes
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Invariant 4. "terse" leaves out DETAIL ("Failing row contains ...") and CONTEXT.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class EmbeddedPostgres:
    """Blocking: call `start` and `stop` outside the event loop. It can be started again after it ended."""

    superuser = "postgres"

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self._settings = SETTINGS | dict(settings or {})
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._address: Address | None = None
        self._password = ""

    def start(self) -> None:
        """Returns when it accepts connections. Raises `PostgresFailed`."""
        if self.poll() is None and self._process:
            raise RuntimeError("already started")
        try:
            with explained(self.folder):
                self._start()
        except BaseException:  # also Ctrl-C, which would leave a server running
            self.stop()
            raise

    def _start(self) -> None:
        bin_folder = programs()
        self._take_lock()
        stop_orphans(self.data)
        account = account_for(self.folder, bin_folder)
        run = self.folder / "run"
        private_folder(run, account)
        self._password = superuser_password(self.folder)
        ensure_cluster(self.folder, bin_folder, account, self._password)
        self._renew_log()
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._address = address_for(run)
            settings = self._settings | self._address.settings()
            options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
            command = [*account.prefix, str(bin_folder / "postgres"), "-D", str(self.data), *options]
            said = self._launch(command)
            if said is None:
                return
            if "Address already in use" not in said or attempt == PORT_ATTEMPTS:
                raise from_output(self.folder, "postgres", said)

    def _take_lock(self) -> None:
        if self._lock:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            self._lock = None
            raise PostgresFailed(
                f"{self.folder} is in use by another running process: stop that one,"
                " or choose another folder with STATE_DIR."
            ) from error

    def _renew_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)

    def _launch(self, command: list[str]) -> str | None:
        """Returns None when the server is ready, or its output if it ended. Raises `PostgresFailed`."""
        before = self.log.stat().st_size
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd="/",
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # no Ctrl-C: we stop the server after its clients
            )
        process = self._process
        wait_for(lambda: process.poll() is not None or self._ready(process.pid), READY_SECONDS)
        if process.poll() is None:
            if self._ready(process.pid):
                return None
            raise from_output(self.folder, "postgres", f"not ready within {READY_SECONDS:.0f} s")
        with self.log.open(errors="replace") as log:
            log.seek(before)
            return log.read()

    def _ready(self, pid: int) -> bool:
        """Line 8 of the lock file holds the status, which pg_ctl also reads."""
        with suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return lines[:1] == [str(pid)] and lines[7:8] == ["ready   "]
        return False

    @property
    def pid(self) -> int:
        if not self._process:
            raise RuntimeError("not started")
        return self._process.pid

    def poll(self) -> int | None:
        """None while the server runs, else its exit code; -1 if it was not started."""
        return self._process.poll() if self._process else -1

    def stop(self) -> None:
        process, self._process = self._process, None
        if process and process.poll() is None:
            self._end(process)
        if self._lock:
            self._lock.close()
            self._lock = None

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for number, seconds in (
            (signal.SIGINT, FAST_STOP_SECONDS),
            (signal.SIGQUIT, IMMEDIATE_STOP_SECONDS),
        ):
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                return
        process.kill()
        process.wait()
        kill_servers(self.data)

    @property
    def address(self) -> Address:
        if not self._address:
            raise RuntimeError("not started")
        return self._address

    def url(self, user: str, password: str, database: str) -> str:
        query = {"host": self.address.host, "port": str(self.address.port)}
        url = URL.create("postgresql+asyncpg", user, password, database=database, query=query)
        return url.render_as_string(hide_password=False)

    def superuser_url(self, database: str = "postgres") -> str:
        return self.url(self.superuser, self._password, database)

    def superuser_parameters(self, database: str = "postgres") -> dict[str, Any]:
        """Keyword arguments for asyncpg.connect."""
        return {
            "host": self.address.host,
            "port": self.address.port,
            "user": self.superuser,
            "password": self._password,
            "database": database,
        }

    def libpq_env(
        self, user: str = superuser, password: str | None = None, database: str = "postgres"
    ) -> dict[str, str]:
        return {
            "PGHOST": self.address.host,
            "PGPORT": str(self.address.port),
            "PGUSER": user,
            "PGPASSWORD": self._password if password is None else password,
            "PGDATABASE": database,
        }

    @staticmethod
    def psql() -> Path:
        return programs() / "psql"
