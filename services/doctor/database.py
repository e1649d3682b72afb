"""The database of auth or of users: can it be reached, is the role confined, is the schema of this version?"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Row, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

import services
from services.auth import tables as auth_tables
from services.doctor.findings import Finding, fail, ok, warn
from services.users import tables as users_tables
from shared.database.pool import Database, sqlstate
from shared.database.schema import Schema

Owner = Literal["auth", "users"]

_METADATA: Final[dict[Owner, MetaData]] = {"auth": auth_tables.metadata, "users": users_tables.metadata}
_OTHER: Final[dict[Owner, Owner]] = {"auth": "users", "users": "auth"}

# More than an NTP client leaves, less than any token or code lives.
_SKEW_SECONDS: Final = 5.0

# Missing table, missing schema, no right to read.
_NO_SCHEMA: Final = ("42P01", "3F000", "42501")

_CONNECT_SECONDS: Final = 2.0
_MIGRATE: Final = "Run `login2fa roles`, then `login2fa migrate`, of the version that the processes have"

Clock = Callable[[], float]


async def database(owner: Owner, url: str, *, clock: Clock = time.time) -> list[Finding]:
    variable = f"{owner.upper()}_DATABASE_URL"
    connected = Database(url, pool_size=1, pool_timeout=_CONNECT_SECONDS, command_timeout=_CONNECT_SECONDS)
    try:
        asked_at = clock()
        (facts,) = await connected.read(_FACTS, {"own": owner, "other": _OTHER[owner]})
        skew = float(facts.now) - (asked_at + clock()) / 2
        found = [_role(owner, variable, facts), await _schema(owner, variable, connected), _clock(variable, skew)]
    except (SQLAlchemyError, OSError) as error:
        advice = f"Look at user, password, host and name in {variable}, and whether the server runs"
        return [fail("database", variable, _words(error), advice)]
    finally:
        await connected.close()
    return [ok("database", variable, f"reached as the role {facts.role}"), *found]


def _role(owner: Owner, variable: str, facts: Row[Any]) -> Finding:
    wrong = {
        "is a superuser, or may make roles or databases": facts.mighty,
        f"may look into the schema {_OTHER[owner]}": facts.enters_other,
        f"may change the tables of the schema {owner}": facts.alters_own,
    }
    if said := [what for what, holds in wrong.items() if holds]:
        advice = f"Run `login2fa roles`, and log in as the role {owner}: whoever takes over {owner} has these rights"
        return fail("database-role", variable, f"the role {facts.role} {said[0]}", advice)
    return ok("database-role", variable, f"the role {facts.role} can do no more than it needs")


async def _schema(owner: Owner, variable: str, connected: Database) -> Finding:
    scripts = Path(services.__file__ or "").parent / owner / "migrations"
    wanted = set(ScriptDirectory(str(scripts)).get_heads())
    try:
        rows = await connected.read(text(f"SELECT version_num FROM {owner}.alembic_version"))  # noqa: S608 - our own name
    except DBAPIError as error:
        if sqlstate(error) not in _NO_SCHEMA:
            raise
        return fail("schema", variable, f"there are no tables in the schema {owner}, or none for this role", _MIGRATE)
    if (at := {row.version_num for row in rows}) != wanted:
        said = f"the schema {owner} is at {_listed(at)}; this version needs {_listed(wanted)}"
        return fail("schema", variable, said, _MIGRATE)
    if not await Schema(connected, _METADATA[owner]).is_ready():
        return fail("schema", variable, f"a table or a column is missing in the schema {owner}", _MIGRATE)
    return ok("schema", variable, f"the schema {owner} is at {_listed(at)}")


def _clock(variable: str, skew: float) -> Finding:
    said = f"the clock of the database is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) > _SKEW_SECONDS:
        return warn("clock", variable, said, "Set both clocks by NTP (chrony, systemd-timesyncd)")
    return ok("clock", variable, said)


def _listed(revisions: set[str]) -> str:
    return ", ".join(sorted(revisions)) or "no revision"


def _words(error: BaseException) -> str:
    """The server's own words, or the system's; SQLAlchemy's text around them says less."""
    said = getattr(error, "orig", None) or error
    if isinstance(said, TimeoutError):
        return "no answer in time"
    said = said.__cause__ or said
    return str(said).strip().partition("\n")[0] or type(said).__name__


_FACTS: Final = text(
    """
SELECT rolname AS role, extract(epoch FROM clock_timestamp()) AS now,
    rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls AS mighty,
    EXISTS (SELECT FROM pg_namespace WHERE nspname = :other AND has_schema_privilege(oid, 'USAGE')) AS enters_other,
    EXISTS (SELECT FROM pg_namespace WHERE nspname = :own AND has_schema_privilege(oid, 'CREATE')) AS alters_own
FROM pg_roles WHERE rolname = current_user
"""
)
