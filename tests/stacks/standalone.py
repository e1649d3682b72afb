"""What `make up` starts: everything in one process, an embedded Postgres, codes in a file."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from sqlalchemy import URL

from deploy.demo_accounts import DEMO_ACCOUNTS
from deploy.standalone.postgres.orphans import kill_servers, servers
from deploy.standalone.up import DATABASE
from tests.polling import eventually
from tests.stacks.inboxes import FileInbox
from tests.stacks.processes import ANSWER_SECONDS
from tests.stacks.program import HASH_MAX_WAIT, LOGIN_FAILURE_DEADLINE, READY_SECONDS, Program
from tests.stacks.stack import Person, Stack


class Standalone(Stack):
    """`start` it, and again after `program.kill()` or `program.terminate()`: on the same folder and port."""

    name = "standalone"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.state = folder / "state"
        settings = {
            "PORT": "0",
            "STATE_DIR": str(self.state),
            "LOGIN_FAILURE_DEADLINE": LOGIN_FAILURE_DEADLINE,
            "HASH_MAX_WAIT": HASH_MAX_WAIT,
        }
        self.program = Program("up", "up", settings=settings, folder=folder)
        self.inbox = FileInbox(self.state / "otp-logs.txt")
        demo = DEMO_ACCOUNTS[0]
        self.admin = Person(email=demo.email, username=demo.email, password=demo.password, is_2fa=True)

    @property
    def programs(self) -> list[Program]:
        return [self.program]

    @property
    def logs(self) -> list[Path]:
        return [self.program.log, self.state / "login2fa.log"]

    async def start(self) -> None:
        """Return when it is ready."""
        await self._close_client()
        said_before = self.log_sizes().get(self.program.log, 0)
        self.program.start()

        def addresses() -> tuple[str, ...]:
            said = self.program.output(said_before)
            if self.program.exit_code is not None:
                raise RuntimeError(f"it has ended with {self.program.exit_code}:\n{said}")
            found = re.search(r"running at +(http://[^/]+)/.+?(http://[^/]+)/readyz", said, re.DOTALL)
            assert found, said
            return found.groups()

        public_url, management_url = await eventually(addresses, READY_SECONDS)
        await self.program.until_ready(management_url)
        self.program.settings["PORT"] = public_url.rpartition(":")[2]
        self.http = httpx.AsyncClient(base_url=public_url, timeout=ANSWER_SECONDS, trust_env=False)
        secrets = json.loads((self.state / "secrets.json").read_text())
        self.auth_database_url = self._database_url("auth", secrets["auth_password"])
        self.users_database_url = self._database_url("users", secrets["users_password"])

    def _database_url(self, role: str, password: str) -> str:
        # As PostgreSQL documents its lock file: port, socket folder and address are in lines 4 to 6.
        lines = (self.state / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
        port, socket_folder, address = lines[3:6]
        query = {"host": socket_folder or address, "port": port}
        url = URL.create("postgresql+asyncpg", role, password, database=DATABASE, query=query)
        return url.render_as_string(hide_password=False)

    def postgres_processes(self) -> list[int]:
        return servers(self.state / "postgres" / "data")

    async def remove(self) -> None:
        """Kill -9 of everything, Postgres included."""
        await self.kill()
        kill_servers(self.state / "postgres" / "data")
        await self._close_client()

    async def _close_client(self) -> None:
        if hasattr(self, "http"):
            await self.http.aclose()


@asynccontextmanager
async def standalone() -> AsyncIterator[Standalone]:
    """Made, not yet started; removed at the end."""
    folder = _folder()
    stack = Standalone(folder)
    try:
        yield stack
    finally:
        await stack.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    """Not one of pytest's: a socket's path has to be short."""
    folder = Path(tempfile.mkdtemp(prefix="login2fa-up-"))
    folder.chmod(0o711)  # where root has to run PostgreSQL as another user, that user passes through here
    return folder
