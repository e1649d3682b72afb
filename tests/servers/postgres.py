"""The Postgres of a test run: one that was given, else a container, else the embedded one in a temporary folder.

Never a server that the tests neither started nor were given.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url
from testcontainers.core.container import DockerContainer

from deploy.images import images
from deploy.standalone.postgres import EmbeddedPostgres, PostgresFailed
from tests.servers import docker_engine
from tests.servers.leash import Leash

IMAGE = images()["POSTGRES_IMAGE"]

NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "scram_iterations": "1"}


@dataclass(frozen=True)
class Postgres:
    """A server for this session; `admin_url` is an SQLAlchemy URL of one who may do everything on it."""

    kind: str
    admin_url: str
    given: bool = False


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Find or start the server of this session, and stop it at the end if it was started here."""
    if given := os.environ.get("TEST_POSTGRES_URL"):
        url = make_url(given).set(drivername="postgresql+asyncpg")
        yield Postgres("given by TEST_POSTGRES_URL", url.render_as_string(hide_password=False), given=True)
    elif docker_engine.image_available(IMAGE):
        with _container() as postgres:
            yield postgres
    else:
        with _embedded() as postgres:
            yield postgres


@contextmanager
def _container() -> Iterator[Postgres]:
    password = secrets.token_hex(16)
    container = DockerContainer(IMAGE).with_exposed_ports(5432).with_env("POSTGRES_PASSWORD", password)
    with container:
        host, port = container.get_container_host_ip(), int(container.get_exposed_port(5432))
        url = URL.create("postgresql+asyncpg", "postgres", password, host, port, "postgres")
        yield Postgres(f"container {IMAGE}", url.render_as_string(hide_password=False))


@contextmanager
def _embedded() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="login2fa-pg-"))  # not pytest's: a socket's path has to be short
    postgres = EmbeddedPostgres(folder, NOT_DURABLE)
    try:
        postgres.start()
        leash = Leash(postgres.pid, signal_name="INT")
        yield Postgres("embedded", postgres.superuser_url())
        leash.release()
    except PostgresFailed as failure:
        pytest.exit(str(failure), returncode=3)
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
