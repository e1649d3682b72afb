"""A Postgres for one test or one module, to be killed, frozen and started again: a container, else the embedded one."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import asyncpg
from sqlalchemy import URL
from testcontainers.core.container import DockerContainer

from deploy.standalone.postgres import EmbeddedPostgres
from deploy.standalone.postgres.orphans import kill_servers, servers
from tests.polling import wait_until
from tests.servers import docker_engine
from tests.servers.databases import connected
from tests.servers.killable import Killable, KillableContainer
from tests.servers.leash import Leash
from tests.servers.ports import free_ports
from tests.servers.postgres import IMAGE, Postgres

START_SECONDS = 120.0  # 2 s on a quiet machine


class OwnPostgres(Killable, Protocol):
    """Durable (fsync is on), so that what a kill must not lose is not lost."""

    @property
    def admin_url(self) -> str:
        """An SQLAlchemy URL of one who may do everything."""
        ...

    @property
    def server(self) -> Postgres:
        """What `template_database` and `copied` take."""
        ...

    def signal_backend(self, pid: int, name: str) -> None:
        """To the one that calls itself `pid`: STOP or CONT."""
        ...


class _Container(KillableContainer):
    def __init__(self, container: DockerContainer, admin_url: str) -> None:
        super().__init__(container)
        self.admin_url = admin_url
        self.server = Postgres(f"container {IMAGE}", admin_url)

    def start(self) -> None:
        super().start()
        self.until_it_accepts()

    def signal_backend(self, pid: int, name: str) -> None:
        done = self._container.get_wrapped_container().exec_run(["bash", "-c", f"kill -{name} {pid}"])
        assert done.exit_code == 0, done.output

    def until_it_accepts(self) -> None:
        wait_until(lambda: _accepts(self.admin_url), START_SECONDS)


class EmbeddedServer:
    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self._leash: Leash | None = None

    @property
    def admin_url(self) -> str:
        return self._postgres.superuser_url()

    @property
    def server(self) -> Postgres:
        return Postgres("embedded", self.admin_url)

    def start(self) -> None:
        self._postgres.start()
        self._leash = Leash(self._postgres.pid, signal_name="INT")
        wait_until(lambda: _accepts(self.admin_url), START_SECONDS)

    def kill(self) -> None:
        """A frozen one dies too."""
        self._release()
        kill_servers(self._postgres.data)
        self._postgres.stop()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def signal_backend(self, pid: int, name: str) -> None:
        os.kill(pid, signal.Signals[f"SIG{name}"])

    def _signal(self, number: int) -> None:
        for pid in servers(self._postgres.data):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _release(self) -> None:
        if self._leash is not None:
            self._leash.release()
            self._leash = None


def _accepts(url: str) -> bool:
    async def ask() -> bool:
        async with asyncio.timeout(5), connected(url):
            return True

    try:
        return asyncio.run(ask())
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


@contextmanager
def own_postgres(settings: Mapping[str, str] | None = None) -> Iterator[OwnPostgres]:
    """Running, with these server settings besides; removed at the end. Call it where no event loop runs."""
    if not docker_engine.image_available(IMAGE):
        folder = Path(tempfile.mkdtemp(prefix="login2fa-pg-"))  # not pytest's: a socket's path has to be short
        embedded = EmbeddedServer(EmbeddedPostgres(folder, settings))
        try:
            embedded.start()
            yield embedded
        finally:
            embedded.kill()
            shutil.rmtree(folder, ignore_errors=True)
        return
    password, (port,) = secrets.token_hex(16), free_ports(1)
    command = [word for name, value in (settings or {}).items() for word in ("-c", f"{name}={value}")]
    container = DockerContainer(IMAGE).with_bind_ports(5432, port).with_env("POSTGRES_PASSWORD", password)
    with container.with_command(["postgres", *command]):
        host = container.get_container_host_ip()
        url = URL.create("postgresql+asyncpg", "postgres", password, host, port, "postgres")
        server = _Container(container, url.render_as_string(hide_password=False))
        server.until_it_accepts()
        yield server
