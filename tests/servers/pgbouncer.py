"""PgBouncer before a Postgres of the tests, in a folder of its own: killed, stopped in order, and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sqlalchemy import make_url

from deploy.standalone.postgres.account import account_for
from deploy.standalone.postgres.programs import programs
from tests.polling import wait_until
from tests.servers.databases import PASSWORDS
from tests.servers.installed import program
from tests.servers.leash import Leash, kill_group
from tests.servers.listening import accepts
from tests.servers.ports import free_ports

Mode = Literal["session", "transaction"]

START_SECONDS = 20.0  # 0.1 s on a quiet machine
# Older ones know no prepared statements in transaction mode, and asyncpg prepares all of its.
PREPARES = (1, 21)


def pgbouncer_program() -> Path:
    """That of TEST_PGBOUNCER, else the installed one."""
    given = os.environ.get("TEST_PGBOUNCER")
    return Path(given) if given else program("pgbouncer", "pgbouncer", "PgBouncer")


def version(bouncer: Path) -> tuple[int, ...]:
    said = subprocess.run([bouncer, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"PgBouncer (\d+)\.(\d+)", said)
    assert found, said
    return tuple(map(int, found.groups()))


class PgBouncer:
    """Before the server of `admin_url`, for the roles of the tests."""

    def __init__(self, bouncer: Path, folder: Path, admin_url: str, mode: Mode) -> None:
        (self.port,) = free_ports(1)
        self._folder, self._program = folder, bouncer
        self._account = account_for(folder, programs())  # it refuses to run as root, as Postgres does
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: Leash | None = None
        server = make_url(admin_url)
        at = f"host={server.query.get('host', server.host)} port={server.query.get('port', server.port)}"
        prepares = "max_prepared_statements = 200\n" if version(bouncer) >= PREPARES else ""
        (folder / "users.txt").write_text("".join(f'"{role}" "{word}"\n' for role, word in PASSWORDS.items()))
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = {at}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {folder}/users.txt\n"
            f"pool_mode = {mode}\n{prepares}default_pool_size = {4 if mode == 'transaction' else 20}\n"
        )
        self._account.give(folder)

    def url(self, direct: str) -> str:
        """The URL `direct`, of a role and a database, by way of this."""
        url = make_url(direct).set(host="127.0.0.1", port=self.port, query={})
        return url.render_as_string(hide_password=False)

    def start(self) -> None:
        with (self._folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*self._account.prefix, str(self._program), str(self._folder / "pgbouncer.ini")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops it
            )
        self._leash = Leash(self._process.pid)
        wait_until(lambda: accepts(self.port), START_SECONDS)

    def kill(self) -> None:
        """Kill -9."""
        self._release()
        if self._process is not None:
            kill_group(self._process)

    def ask_to_stop(self) -> None:
        """SIGINT: it ends when all clients of a session, or all transactions, are over."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGINT)

    @property
    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _release(self) -> None:
        if self._leash is not None:
            self._leash.release()
            self._leash = None


@contextmanager
def pgbouncer(folder: Path, admin_url: str, mode: Mode) -> Iterator[PgBouncer]:
    """Running; killed at the end. `folder` is empty."""
    bouncer = PgBouncer(pgbouncer_program(), folder, admin_url, mode)
    try:
        bouncer.start()
        yield bouncer
    finally:
        bouncer.kill()
