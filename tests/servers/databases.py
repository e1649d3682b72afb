"""A fresh database for each test, copied from a template that was migrated once: 60 ms instead of a second."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest
from sqlalchemy import make_url

from deploy.postgres.roles import NAMES, create_roles
from services.migrate import migrate
from tests.polling import eventually
from tests.servers.postgres import NOT_DURABLE, Postgres

# Roles belong to the whole server: two test runs on a given one must agree on them.
PASSWORDS = {role: f"{role}-of-the-tests" for role in NAMES}
OURS = "made by the tests of Login2FA"


@dataclass(frozen=True)
class Databases:
    """One database with both schemas, by an address for SQLAlchemy of each role."""

    name: str
    admin_url: str

    @property
    def auth_url(self) -> str:
        return self.url_of("auth")

    @property
    def users_url(self) -> str:
        return self.url_of("users")

    @property
    def migrator_url(self) -> str:
        """Of the role that owns the tables."""
        return self.url_of("migrator")

    def url_of(self, role: str) -> str:
        url = make_url(self.admin_url).set(username=role, password=PASSWORDS[role])
        return url.render_as_string(hide_password=False)


def asyncpg_dsn(url: str) -> str:
    """The SQLAlchemy URL `url` as `asyncpg.connect` wants it."""
    return url.replace("postgresql+asyncpg:", "postgresql:", 1)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        yield connection
    finally:
        await connection.close()


async def server_version(postgres: Postgres) -> str:
    """Ask for the version, and wait for a container that is still starting."""

    async def ask() -> str:
        try:
            async with connected(postgres.admin_url) as admin:
                return str(await admin.fetchval("SHOW server_version"))
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
            raise AssertionError(f"no answer from Postgres: {error!r}") from error

    return await eventually(ask, timeout=60.0)


async def forget_durability(postgres: Postgres) -> None:
    """Tests do not wait for what would survive a power failure. (A server that was given stays as it is.)"""
    if not postgres.given:
        async with connected(postgres.admin_url) as admin:
            for name, value in NOT_DURABLE.items():
                await admin.execute(f"ALTER SYSTEM SET {name} = {value}")
            await admin.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def template_database(postgres: Postgres) -> AsyncIterator[str]:
    """Make the roles and the migrated template; yield the template's name."""
    if postgres.given:
        await _refuse_foreign_roles(postgres)
    name = f"login2fa_test_{secrets.token_hex(4)}"
    async with _database(postgres, name) as template:
        async with connected(template.admin_url) as admin:
            for role in NAMES:
                await admin.execute(f"COMMENT ON ROLE {role} IS '{OURS}'")
        await migrate("auth", template.migrator_url)
        await migrate("users", template.migrator_url)
        yield name


async def _refuse_foreign_roles(postgres: Postgres) -> None:
    """A given server may serve somebody: the tests would change the passwords of its roles."""
    async with connected(postgres.admin_url) as admin:
        foreign = await admin.fetchval(
            "SELECT count(*) FROM pg_roles WHERE rolname = ANY($1)"
            " AND coalesce(shobj_description(oid, 'pg_authid'), '') <> $2",
            NAMES,
            OURS,
        )
    if foreign:
        pytest.exit(
            "The server in TEST_POSTGRES_URL has roles named auth, users or migrator that the tests did not make:"
            " give the tests a server of their own.",
            returncode=3,
        )


@asynccontextmanager
async def copied(postgres: Postgres, template: str) -> AsyncIterator[Databases]:
    async with _database(postgres, f"{template}_{secrets.token_hex(4)}", template) as copy:
        yield copy


@asynccontextmanager
async def _database(postgres: Postgres, name: str, template: str = "template0") -> AsyncIterator[Databases]:
    url = make_url(postgres.admin_url).set(database=name).render_as_string(hide_password=False)
    async with connected(postgres.admin_url) as admin:
        # Up to version 14 it copies files anyway; since then it would write each page into the log.
        strategy = "STRATEGY file_copy" if admin.get_server_version() >= (15,) else ""
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")
    try:
        # A copy has the template's schemas, but neither its CONNECT rights nor its search_path.
        async with connected(url) as owner:
            await create_roles(owner, PASSWORDS)
        yield Databases(name, url)
    finally:
        async with connected(postgres.admin_url) as admin:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
