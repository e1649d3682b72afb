"""What an administrator runs before the first migration: `login2fa roles`.

On servers of its own: roles belong to a whole server, and the other tests rely on their passwords.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.standalone.postgres import EmbeddedPostgres
from deploy.standalone.postgres.programs import programs
from services.cli import app
from tests.servers.embedded import PROJECT, ask, embedded
from tests.servers.postgres import NOT_DURABLE

PATH = {"PATH": f"{programs()}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """For the tests that make the roles: each gives them its own passwords."""
    with embedded(tmp_path_factory.mktemp("server") / "pg", NOT_DURABLE) as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """For the tests after which it must still have no role of ours."""
    with embedded(tmp_path_factory.mktemp("untouched") / "pg", NOT_DURABLE) as server:
        server.start()
        yield server


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """For the test whose administrator must have made the roles himself."""
    with embedded(tmp_path / "pg", NOT_DURABLE) as server:
        server.start()
        yield server


def addresses(
    server: EmbeddedPostgres, *, auth: str = "x", users: str = "x", database: str = "postgres"
) -> dict[str, str]:
    return {
        "ADMIN_DATABASE_URL": server.superuser_url(database),
        "AUTH_DATABASE_URL": server.url("auth", auth, database),
        "USERS_DATABASE_URL": server.url("users", users, database),
        "MIGRATOR_DATABASE_URL": server.url("migrator", "x", database),
    }


def run(command: list[str], environment: dict[str, str]) -> str:
    """Return "" when the program succeeded, else what it said."""
    done = subprocess.run(command, env=PATH | environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def login2fa(command: str, environment: dict[str, str]) -> str:
    """Return "" when the command succeeded, else what it said."""
    result = CliRunner().invoke(app, [command], env=environment)
    assert result.exit_code in (0, 2), result.output
    return result.stderr


def output(command: str, environment: dict[str, str]) -> str:
    result = CliRunner().invoke(app, [command], env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def roles(environment: dict[str, str]) -> str:
    return login2fa("roles", environment)


def log_in(server: EmbeddedPostgres, user: str, password: str, statement: str = "SELECT 1") -> str:
    return run(["psql", "-w", "-c", statement], server.libpq_env(user, password))


def made(server: EmbeddedPostgres) -> str:
    return ask(server, "SELECT count(*) FROM pg_roles WHERE rolname IN ('auth', 'users', 'migrator')")


def test_any_password_gets_through(server: EmbeddedPostgres) -> None:
    awkward = "p w\t'\"\\$x;-- %@/:#"

    assert roles(addresses(server, auth=awkward)) == ""

    assert log_in(server, "auth", awkward) == ""
    assert log_in(server, "users", "x") == ""
    assert "password authentication failed" in log_in(server, "users", awkward)


def test_addresses_come_from_files_too_and_a_second_run_changes_passwords(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    for password in ("first", "second"):
        files = {}
        for variable, url in addresses(server, auth=password).items():
            file = tmp_path / variable
            file.write_text(url + "\n")
            files[f"{variable}_FILE"] = str(file)
        assert roles(files) == ""
        assert log_in(server, "auth", password) == ""
    assert "password authentication failed" in log_in(server, "auth", "first")


@pytest.mark.parametrize("variable", [f"{each}_DATABASE_URL" for each in ("ADMIN", "AUTH", "USERS", "MIGRATOR")])
def test_a_missing_address_is_named_and_changes_nothing(untouched: EmbeddedPostgres, variable: str) -> None:
    given = addresses(untouched)
    del given[variable]

    assert roles(given) == f"Settings not valid. {variable} is not set, nor is {variable}_FILE\n"
    assert made(untouched) == "0"


@pytest.mark.parametrize(
    ("part", "instead", "said"),
    [
        ("users:x@", "users@", "USERS_DATABASE_URL holds no password"),
        ("users:x@", "login2fa:x@", "USERS_DATABASE_URL must log in as the role users"),
        ("/postgres?", "/other?", "USERS_DATABASE_URL and ADMIN_DATABASE_URL must name the same database"),
    ],
)
def test_an_address_that_its_service_could_not_use_is_refused(
    untouched: EmbeddedPostgres, part: str, instead: str, said: str
) -> None:
    given = addresses(untouched)
    assert part in given["USERS_DATABASE_URL"]
    given["USERS_DATABASE_URL"] = given["USERS_DATABASE_URL"].replace(part, instead)

    assert said in roles(given)
    assert made(untouched) == "0"


def test_no_refusal_tells_a_password(untouched: EmbeddedPostgres) -> None:
    canary = "canary-0123456789"
    for variable, bad in (
        ("AUTH_DATABASE_URL", f"postgresql+asyncpg://users:{canary}@host/postgres"),
        ("AUTH_DATABASE_URL", f"no url, but {canary}"),
        ("ADMIN_DATABASE_URL", untouched.url("postgres", canary, "postgres")),
        ("ADMIN_DATABASE_URL", f"postgresql+asyncpg://postgres:{canary}@127.0.0.1:1/postgres"),
    ):
        said = roles(addresses(untouched) | {variable: bad})
        assert said
        assert canary not in said


def test_an_administrator_need_not_be_a_superuser(managed: EmbeddedPostgres) -> None:
    """As with a cloud's managed Postgres: the owner of the database, with CREATEROLE."""
    ask(managed, "CREATE ROLE admin LOGIN CREATEROLE PASSWORD 'x'")
    ask(managed, "CREATE DATABASE theirs OWNER admin")

    for password in ("first", "second"):
        given = addresses(managed, auth=password, database="theirs")
        assert roles(given | {"ADMIN_DATABASE_URL": managed.url("admin", "x", "theirs")}) == ""

    assert login2fa("migrate", given) == ""
    auth = managed.libpq_env("auth", "second", "theirs")
    assert run(["psql", "-w", "-c", "DELETE FROM outbox"], auth) == ""
    for schema in ("auth", "users"):
        assert "permission denied" in run(["psql", "-w", "-c", f"CREATE TABLE {schema}.mine ()"], auth)


def test_a_database_whose_tables_its_services_owned_is_taken_over(managed: EmbeddedPostgres) -> None:
    ask(managed, "CREATE ROLE admin LOGIN CREATEROLE PASSWORD 'x'")
    ask(managed, "CREATE DATABASE theirs OWNER admin")
    given = addresses(managed, database="theirs") | {"ADMIN_DATABASE_URL": managed.url("admin", "x", "theirs")}
    assert roles(given) == ""
    as_superuser = managed.libpq_env(database="theirs")
    made_by_itself = (
        "ALTER SCHEMA auth OWNER TO auth; SET ROLE auth; CREATE TABLE auth.kept AS SELECT 42 AS answer;"
        "CREATE TABLE auth.alembic_version (version_num text); CREATE TABLE auth.numbered (id serial)"
    )
    assert run(["psql", "-w", "-c", made_by_itself], as_superuser) == ""
    assert "Schema auth does not belong to the role that migrates" in login2fa("migrate", given)

    assert roles(given) == ""

    auth = managed.libpq_env("auth", "x", "theirs")
    assert run(["psql", "-w", "-c", "UPDATE kept SET answer = 43"], auth) == ""
    for refused in ("DROP TABLE kept", "TRUNCATE kept", "DELETE FROM alembic_version", "DROP TABLE numbered"):
        assert run(["psql", "-w", "-c", refused], auth) != ""


def test_other_databases_that_our_roles_may_connect_to_are_named_with_what_to_run(managed: EmbeddedPostgres) -> None:
    for statement in ("CREATE ROLE admin LOGIN CREATEROLE PASSWORD 'x'", "CREATE DATABASE theirs OWNER admin"):
        ask(managed, statement)
    ask(managed, 'CREATE DATABASE "a stranger\'s"')
    given = addresses(managed, database="theirs")

    as_admin = output("roles", given | {"ADMIN_DATABASE_URL": managed.url("admin", "x", "theirs")})
    assert "may connect to other databases of this server: a stranger's, postgres, template1." in as_admin

    as_superuser = output("roles", given)
    assert "server: a stranger's." in as_superuser
    assert 'REVOKE CONNECT, TEMPORARY ON DATABASE "a stranger\'s" FROM PUBLIC;' in as_superuser
    assert "permission denied for database" in run(["psql", "-w", "-c", "SELECT 1"], managed.libpq_env("auth", "x"))

    ask(managed, 'REVOKE CONNECT, TEMPORARY ON DATABASE "a stranger\'s" FROM PUBLIC')
    assert output("roles", given) == "roles: up to date\n"


def test_a_database_of_an_unknown_version_is_a_sentence(server: EmbeddedPostgres) -> None:
    given = addresses(server)
    assert (roles(given), login2fa("migrate", given)) == ("", "")
    ask(server, "UPDATE users.alembic_version SET version_num = '0005'")

    said = login2fa("migrate", given)

    assert said.startswith("Schema users is at revision 0005, which this version of Login2FA does not know")
    ask(server, "UPDATE users.alembic_version SET version_num = '0001'")


def test_one_who_may_not_make_roles_is_told_so_and_changes_nothing(untouched: EmbeddedPostgres) -> None:
    ask(untouched, "CREATE ROLE nobody LOGIN PASSWORD 'x'")

    said = roles(addresses(untouched) | {"ADMIN_DATABASE_URL": untouched.url("nobody", "x", "postgres")})

    assert said.startswith("Roles: permission denied to create role")
    assert made(untouched) == "0"


def test_the_migrations_and_the_services_log_in_afterwards(server: EmbeddedPostgres) -> None:
    given = addresses(server)
    assert roles(given) == ""
    assert login2fa("migrate", given) == ""


def test_psql_runs_the_same_file_as_its_first_lines_say(server: EmbeddedPostgres, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("from psql")
    file = PROJECT / "deploy" / "postgres" / "roles.sql"
    lines = [line.removeprefix("--     ") for line in file.read_text().splitlines() if line.startswith("--     ")]
    script = "\n".join(lines)
    for role in ("auth", "users", "migrator"):
        name = f"file-with-the-password-of-{role}"
        assert name in script
        script = script.replace(name, str(password))
    (tmp_path / "script.sql").write_text(script)

    said = run(["psql", "-w", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(tmp_path / "script.sql")], server.libpq_env())

    assert said == ""
    assert log_in(server, "auth", "from psql") == ""
