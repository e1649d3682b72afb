"""Each statement that is written as SQL is one that Postgres can prepare on the tables as they are."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect

import services
import shared
from tests.servers.databases import Databases, connected


def statements() -> Iterator[tuple[str, TextClause]]:
    """With the name of the module and of the constant that holds each."""
    for package in (services, shared):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith(("__main__", "migrations.env")) or ".versions." in module.name:
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, TextClause):
                    yield f"{module.name}: {name}", value


STATEMENTS = dict(statements())


@pytest.mark.parametrize("name", STATEMENTS)
async def test_postgres_prepares_it_for_its_service(name: str, databases: Databases) -> None:
    compiled = STATEMENTS[name].compile(dialect=dialect())  # type: ignore[no-untyped-call] # SQLAlchemy has no types here
    async with connected(
        databases.users_url if name.startswith("services.users") else databases.auth_url
    ) as connection:
        if compiled.string.startswith("SET "):  # has no parameters, and can not be prepared
            await connection.execute(compiled.string)
        else:
            prepared: asyncpg.prepared_stmt.PreparedStatement = await connection.prepare(compiled.string)
            assert len(prepared.get_parameters()) == len(compiled.positiontup or ())


def test_the_statements_of_a_login_are_among_them() -> None:
    assert {
        "services.auth.login.attempt_statements: RESERVE",
        "services.auth.login.attempt_statements: RECORD_FAILURE",
        "services.auth.login.attempt_statements: RELEASE",
    } <= STATEMENTS.keys()
