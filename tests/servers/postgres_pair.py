"""A Postgres primary and standbys that stream from it: embedded ones, each to be killed and frozen."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from deploy.standalone.postgres import EmbeddedPostgres
from deploy.standalone.postgres.account import account_for
from deploy.standalone.postgres.programs import programs
from tests.servers.databases import connected
from tests.servers.own_postgres import EmbeddedServer

COPY_SECONDS = 120.0  # 1 s on a quiet machine


class Member(EmbeddedServer):
    """It keeps its socket, so a URL with all of them is good whatever happens to them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.embedded = EmbeddedPostgres(folder, {"cluster_name": name, "wal_receiver_status_interval": "1s"})
        super().__init__(self.embedded)

    def stop(self) -> None:
        """In order, as `pg_ctl stop`: its standby gets all before it ends."""
        self._release()
        self.embedded.stop()

    async def run(self, statement: str) -> object:
        """As the superuser; the value that comes back, if one does."""
        async with asyncio.timeout(30), connected(self.admin_url) as admin:
            return await admin.fetchval(statement)


class PostgresPair:
    """The members are called a, which is the primary, b, and c once it was added."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.primary, self.standby = Member(folder / "a", "a"), Member(folder / "b", "b")
        self.members = [self.primary]

    def url(self, *order: Member) -> str:
        """Names these, or the two in their order, for a driver that looks for the one that takes writes."""
        urls = [make_url(each.admin_url) for each in order or (self.primary, self.standby)]
        query = {part: ",".join(str(each.query[part]) for each in urls) for part in ("host", "port")}
        url = urls[0].set(query=query | {"target_session_attrs": "read-write"})
        return url.render_as_string(hide_password=False)

    def start(self) -> None:
        self.primary.start()
        self._add(self.standby)

    def add_standby(self) -> Member:
        self._add(Member(self._folder / "c", "c"))
        return self.members[-1]

    def _add(self, standby: Member) -> None:
        self.members.append(standby)
        self._copy(standby)
        standby.start()

    def _copy(self, standby: Member) -> None:
        source, copy = self.primary.embedded, standby.embedded
        account = account_for(source.folder, programs())
        copy.folder.mkdir()
        account.give(copy.folder)
        # One cluster, one password.
        shutil.copy(source.folder / "superuser-password", copy.folder)
        backup = ("pg_basebackup", "-D", copy.data, "-R", "-C", "-S", standby.name, "-X", "stream", "-c", "fast")
        subprocess.run(
            [*account.prefix, programs() / backup[0], *backup[1:]],
            cwd="/",
            env=os.environ | source.libpq_env(),
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=COPY_SECONDS,
        )

    async def be_synchronous(self, names: str) -> None:
        """Commits of the primary wait for these, as `synchronous_standby_names` says."""
        await self.primary.run(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        await self.primary.run("SELECT pg_reload_conf()")

    async def promote(self) -> None:
        """The standby takes writes when this returns."""
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
        for each in pair.members:
            each.kill()
        shutil.rmtree(folder, ignore_errors=True)
