"""Creates the database, the roles and the schemas with roles.sql, the same for every deployment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import asyncpg
from sqlalchemy import URL
from sqlalchemy.pool import NullPool

from shared.configuration.connections import of
from shared.configuration.database_url import parsed
from shared.database import connect

ROLES = Path(__file__).parent / "roles.sql"
# The two services, and the owner of their schemas.
NAMES = ("auth", "users", "migrator")

_ANSWER_SECONDS = 30


class RolesRefused(Exception):
    """Nothing was changed. The text says why, for the administrator."""


async def ensure_roles(admin_url: str, urls: Mapping[str, str]) -> list[str]:
    """Creates or updates the roles and schemas of `urls`: SQLAlchemy URLs by role, all of one database.

    Returns warnings for the administrator. Raises `RolesRefused`; DBAPIError, OSError, TimeoutError if unreachable.
    """
    admin = _parsed(admin_url, "ADMIN_DATABASE_URL")
    passwords = {role: _password(urls[role], role, admin) for role in NAMES}
    engine = connect.engine(admin_url, timeout=_ANSWER_SECONDS, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            return await create_roles(raw, passwords)
    except asyncpg.PostgresError as error:
        raise RolesRefused(f"Roles: {error}") from None
    finally:
        await engine.dispose()


async def create_database(admin: asyncpg.Connection, database: str) -> None:
    if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
        name = await admin.fetchval("SELECT quote_ident($1)", database)
        await admin.execute(f"CREATE DATABASE {name}")


async def create_roles(admin: asyncpg.Connection, passwords: Mapping[str, str]) -> list[str]:
    """Runs roles.sql and returns its warnings. After an error close the connection: its transaction has failed."""
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
