"""The application's database, roles and schemas: the same roles.sql for every deployment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import asyncpg
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.configuration.connections import of
from shared.configuration.database_url import engine_arguments, parsed

ROLES = Path(__file__).parent / "roles.sql"
# Two that run, and the one that owns what they use.
NAMES = ("auth", "users", "migrator")

_ANSWER_SECONDS = 30


class RolesRefused(Exception):
    """Nothing was changed; the text says why, in a sentence for the administrator."""


async def ensure_roles(admin_url: str, urls: Mapping[str, str]) -> list[str]:
    """Make the roles and schemas that `urls`, by name of the role, log in to; or bring them up to date.

    All are SQLAlchemy URLs of one database; the roles get the passwords that they hold. Returns what the administrator
    has still to do, in sentences. Raises `RolesRefused`; sqlalchemy's DBAPIError, OSError or TimeoutError where the
    server can't be reached.
    """
    admin = _parsed(admin_url, "ADMIN_DATABASE_URL")
    passwords = {role: _password(urls[role], role, admin) for role in NAMES}
    address, tls = engine_arguments(admin_url)
    engine = create_async_engine(address, poolclass=NullPool, connect_args={"timeout": _ANSWER_SECONDS} | tls)
    try:
        async with engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            return await create_roles(raw, passwords)
    except asyncpg.PostgresError as error:
        raise RolesRefused(f"Roles: {error}") from None
    finally:
        await engine.dispose()


async def create_database(admin: asyncpg.Connection, database: str) -> None:
    """Create `database` unless it is there; `admin` is connected to another one."""
    if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
        name = await admin.fetchval("SELECT quote_ident($1)", database)
        await admin.execute(f"CREATE DATABASE {name}")


async def create_roles(admin: asyncpg.Connection, passwords: Mapping[str, str]) -> list[str]:
    """Run roles.sql in the database that `admin`, an administrator, is connected to; return its warnings.

    After an error the connection is left in a failed transaction: close it.
    """
    warnings: list[str] = []

    def heard(_: object, message: asyncpg.PostgresLogMessage) -> None:
        warnings.append(str(message))

    for role in NAMES:
        await admin.execute("SELECT set_config($1, $2, false)", f"login2fa.{role}_password", passwords[role])
    admin.add_log_listener(heard)
    try:
        await admin.execute(ROLES.read_text(encoding="utf-8"))
    finally:
        admin.remove_log_listener(heard)
    return warnings


def _password(url: str, role: str, admin: URL) -> str:
    variable = f"{role.upper()}_DATABASE_URL"
    known = _parsed(url, variable)
    if known.username != role:
        raise RolesRefused(f"{variable} must log in as the role {role}: that is the one made here.")
    if not known.password:
        raise RolesRefused(f"{variable} holds no password: the role's password comes from there.")
    if known.database != admin.database:
        raise RolesRefused(f"{variable} and ADMIN_DATABASE_URL must name the same database.")
    return str(known.password)


def _parsed(url: str, variable: str) -> URL:
    try:
        return of(variable, parsed, url)
    except ValueError as error:
        raise RolesRefused(f"{error}.") from None
