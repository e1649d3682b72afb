"""The script that Docker's Postgres image and operators run: deploy/postgres/init-roles.sh.

On servers of its own: roles belong to a whole server, and the other tests rely on their passwords.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.standalone.postgres import EmbeddedPostgres
from deploy.standalone.postgres.programs import programs
from tests.servers.embedded import PROJECT, ask, embedded
from tests.servers.postgres import NOT_DURABLE

SCRIPT = PROJECT / "deploy" / "postgres" / "init-roles.sh"
PATH = {"PATH": f"{programs()}:{os.environ['PATH']}"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with embedded(tmp_path / "pg", NOT_DURABLE) as server:
        server.start()
        yield server


def run(command: list[str], environment: dict[str, str]) -> str:
    """Return "" when the command succeeded, else what it said."""
    done = subprocess.run(command, env=PATH | environment, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def log_in(server: EmbeddedPostgres, user: str, password: str, statement: str = "SELECT 1") -> str:
    return run(["psql", "-w", "-c", statement], server.libpq_env(user, password))


def test_any_password_gets_through(server: EmbeddedPostgres) -> None:
    awkward = "p w\t'\"\\$x;-- %"

    assert run([str(SCRIPT)], server.libpq_env() | {"AUTH_DB_PASSWORD": awkward, "USERS_DB_PASSWORD": "x"}) == ""

    assert log_in(server, "auth", awkward) == ""
    assert log_in(server, "users", "x") == ""
    assert "password authentication failed" in log_in(server, "users", awkward)


def test_passwords_come_from_files_too_and_a_second_run_changes_them(server: EmbeddedPostgres, tmp_path: Path) -> None:
    file = tmp_path / "auth"
    settings = {"AUTH_DB_PASSWORD_FILE": str(file), "USERS_DB_PASSWORD": "x"}
    for password in ("first", "second"):
        file.write_text(password + "\n")
        assert run([str(SCRIPT)], server.libpq_env() | settings) == ""
        assert log_in(server, "auth", password) == ""


def test_a_missing_password_is_named_and_changes_nothing(server: EmbeddedPostgres) -> None:
    said = run([str(SCRIPT)], server.libpq_env() | {"AUTH_DB_PASSWORD": "x"})

    assert said == "init-roles.sh: set USERS_DB_PASSWORD or USERS_DB_PASSWORD_FILE\n"
    assert ask(server, "SELECT count(*) FROM pg_roles WHERE rolname IN ('auth', 'users')") == "0"


def test_it_can_be_sourced_as_the_postgres_image_does_with_what_is_not_executable(server: EmbeddedPostgres) -> None:
    passwords = {"AUTH_DB_PASSWORD": "x", "USERS_DB_PASSWORD": "x"}
    image = server.libpq_env() | passwords | {"POSTGRES_USER": "postgres", "POSTGRES_DB": "postgres"}
    del image["PGUSER"], image["PGDATABASE"]
    entrypoint = 'set -Eeo pipefail; . "$1"; [ -z "${PGOPTIONS:-}" ]'

    assert run(["bash", "-c", entrypoint, str(SCRIPT), str(SCRIPT)], image) == ""
    assert log_in(server, "auth", "x") == ""


def test_an_administrator_need_not_be_a_superuser(server: EmbeddedPostgres) -> None:
    """As with a cloud's managed Postgres: the owner of the database, with CREATEROLE."""
    ask(server, "CREATE ROLE admin LOGIN CREATEROLE PASSWORD 'x'")
    ask(server, "CREATE DATABASE theirs OWNER admin")
    login = server.libpq_env("admin", "x", "theirs")

    for password in ("first", "second"):
        assert run([str(SCRIPT)], login | {"AUTH_DB_PASSWORD": password, "USERS_DB_PASSWORD": "x"}) == ""

    auth = server.libpq_env("auth", "second", "theirs")
    assert run(["psql", "-w", "-c", "CREATE TABLE mine ()"], auth) == ""
    assert "permission denied" in run(["psql", "-w", "-c", "CREATE TABLE users.mine ()"], auth)
