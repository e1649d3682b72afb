"""A Postgres primary and a synchronous standby that streams from it: embedded ones, each to be killed and frozen."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, make_url

from deploy.standalone.postgres import EmbeddedPostgres
from deploy.standalone.postgres.account import account_for
from deploy.standalone.postgres.orphans import kill_servers, servers
from deploy.standalone.postgres.programs import programs
from tests.servers.databases import connected
from tests.servers.leash import Leash
from tests.servers.postgres import Postgres

COPY_SECONDS = 120.0  # 1 s on a quiet machine


class PairMember:
    """One of the two; it keeps its socket, so a URL with both is good whatever happens to them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.embedded = EmbeddedPostgres(folder, {"cluster_name": name, "wal_receiver_status_interval": "1s"})
        self._leash: Leash | None = None

    @property
    def admin_url(self) -> str:
        return self.embedded.superuser_url()

    def start(self) -> None:
        self.embedded.start()
        self._leash = Leash(self.embedded.pid, signal_name="INT")

    def kill(self) -> None:
        """Kill -9; for good, or until `start`. A frozen one dies too."""
        self._release()
        kill_servers(self.embedded.data)
        self.embedded.stop()

    def stop(self) -> None:
        """In order, as `pg_ctl stop`: its standby gets all before it ends."""
        self._release()
        self.embedded.stop()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in servers(self.embedded.data):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _release(self) -> None:
        if self._leash is not None:
            self._leash.release()
            self._leash = None

    async def run(self, statement: str) -> object:
        """As the superuser; the value that comes back, if one does."""
        async with asyncio.timeout(30), connected(self.admin_url) as admin:
            return await admin.fetchval(statement)


class PostgresPair:
    """`url` names both, for a driver that looks for the one that takes writes."""

    def __init__(self, folder: Path) -> None:
        self.primary, self.standby = PairMember(folder / "a", "a"), PairMember(folder / "b", "b")

    @property
    def url(self) -> str:
        first, second = (make_url(each.admin_url) for each in (self.primary, self.standby))
        hosts, ports = (f"{first.query[part]},{second.query[part]}" for part in ("host", "port"))
        query = {"host": hosts, "port": ports, "target_session_attrs": "read-write"}
        url = URL.create(first.drivername, first.username, first.password, database=first.database, query=query)
        return url.render_as_string(hide_password=False)

    @property
    def server(self) -> Postgres:
        return Postgres("primary and standby", self.url)

    def start(self) -> None:
        self.primary.start()
        self._copy()
        self.standby.start()

    def _copy(self) -> None:
        source, copy = self.primary.embedded, self.standby.embedded
        account = account_for(source.folder, programs())
        copy.folder.mkdir()
        account.give(copy.folder)
        # One cluster, one password.
        shutil.copy(source.folder / "superuser-password", copy.folder)
        backup = ("pg_basebackup", "-D", copy.data, "-R", "-C", "-S", "standby", "-X", "stream", "-c", "fast")
        subprocess.run(
            [*account.prefix, programs() / backup[0], *backup[1:]],
            cwd="/",
            env=os.environ | source.libpq_env(),
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=COPY_SECONDS,
        )

    async def be_synchronous(self, names: str) -> None:
        """Commits of the primary wait for these; returns when one of them is there."""
        await self.primary.run(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        await self.primary.run("SELECT pg_reload_conf()")

    async def promote(self) -> None:
        """The standby takes writes when this returns."""
        await self.standby.run("ALTER SYSTEM SET synchronous_standby_names = ''")
        assert await self.standby.run("SELECT pg_promote()")


@contextmanager
def postgres_pair() -> Iterator[PostgresPair]:
    """Both running; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="login2fa-pair-"))  # not pytest's: a socket's path has to be short
    pair = PostgresPair(folder)
    try:
        pair.start()
        yield pair
    finally:
        for each in (pair.standby, pair.primary):
            each.kill()
        shutil.rmtree(folder, ignore_errors=True)
