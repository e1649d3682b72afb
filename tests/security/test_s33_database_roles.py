"""S33: neither service's role reads or changes anything of the other's, and of its own it can change rows alone.

On the tables as they are migrated. They belong to a third role, which no process that runs has the password of.
"""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import make_url

from deploy.postgres.roles import NAMES
from tests.servers.databases import Databases, connected

OTHER = {"auth": "users", "users": "auth"}

# Roles that give their members rights beyond their own tables: predefined ones, and those that own something else.
MEMBERSHIPS = """
SELECT held.rolname FROM pg_auth_members
JOIN pg_roles AS member ON member.oid = pg_auth_members.member
JOIN pg_roles AS held ON held.oid = pg_auth_members.roleid
WHERE member.rolname = $1
"""
ATTRIBUTES = """
SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = $1
"""
# Every relation of a schema with its owner: tables, indexes, sequences, views.
OWNERS = """
SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1
"""
# All that a grant can give on a table, and on a column of one.
REACHED = """
SELECT relname, held FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS held
WHERE nspname = $2 AND relkind IN ('r', 'p', 'v', 'm')
AND (has_table_privilege($1, pg_class.oid, held) OR has_any_column_privilege($1, pg_class.oid, held))
"""
ROWS = {"SELECT", "INSERT", "UPDATE", "DELETE"}
RIGHTS = """
SELECT held FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS held
WHERE has_table_privilege($1, $2, held)
"""
# Whatever kind of thing it is.
OWNED = """
SELECT count(*) FROM pg_shdepend JOIN pg_roles ON pg_roles.oid = refobjid
WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o' AND rolname = $1
"""
EXECUTABLE = """
SELECT proname FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE nspname = $2 AND has_function_privilege($1, pg_proc.oid, 'EXECUTE')
AND has_schema_privilege($1, nspname, 'USAGE')
"""


@pytest.fixture(params=["auth", "users"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def tables(databases: Databases, schema: str) -> list[str]:
    async with connected(databases.admin_url) as admin:
        rows = await admin.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    assert len(rows) >= 4
    return [row["tablename"] for row in rows]


async def test_every_statement_on_a_table_of_the_other_service_is_denied(databases: Databases, role: str) -> None:
    schema = OTHER[role]
    async with connected(databases.url_of(role)) as stranger:
        for table in await tables(databases, schema):
            for statement in (
                f"SELECT * FROM {schema}.{table}",
                f"SELECT count(*) FROM {schema}.{table}",
                f"INSERT INTO {schema}.{table} DEFAULT VALUES",
                f"DELETE FROM {schema}.{table}",
                f"TRUNCATE {schema}.{table}",
                f"COPY {schema}.{table} TO STDOUT",
                f"ALTER TABLE {schema}.{table} OWNER TO {role}",
                f"GRANT SELECT ON {schema}.{table} TO {role}",
                f"CREATE RULE seen AS ON INSERT TO {schema}.{table} DO NOTHING",
                f"DROP TABLE {schema}.{table}",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await stranger.execute(statement)
        for statement in (f"CREATE TABLE {schema}.mine ()", f"SET ROLE {schema}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await stranger.execute(statement)


async def test_no_grant_reaches_into_the_other_schema(databases: Databases, role: str) -> None:
    async with connected(databases.admin_url) as admin:
        assert await admin.fetch(REACHED, role, OTHER[role]) == []
        assert await admin.fetch(EXECUTABLE, role, OTHER[role]) == []
        for right in ("USAGE", "CREATE"):
            assert not await admin.fetchval("SELECT has_schema_privilege($1, $2, $3)", role, OTHER[role], right)


async def test_all_of_a_schema_belongs_to_the_role_that_migrates(databases: Databases, role: str) -> None:
    async with connected(databases.admin_url) as admin:
        assert [row[0] for row in await admin.fetch(OWNERS, role)] == ["migrator"]
        assert await admin.fetchval(OWNED, role) == 0


async def test_of_its_own_tables_a_role_changes_rows_and_nothing_else(databases: Databases, role: str) -> None:
    async with connected(databases.admin_url) as admin:
        for table in await tables(databases, role):
            held = {row["held"] for row in await admin.fetch(RIGHTS, role, f"{role}.{table}")}
            assert held == ({"SELECT"} if table == "alembic_version" else ROWS), table
    async with connected(databases.url_of(role)) as itself:
        for table in await tables(databases, role):
            for statement in (
                f"TRUNCATE {table}",
                f"DROP TABLE {table}",
                f"ALTER TABLE {table} ADD COLUMN mine int",
                f"ALTER TABLE {table} OWNER TO {role}",
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                f"CREATE INDEX ON {table} ((1))",
                f"CREATE RULE seen AS ON INSERT TO {table} DO NOTHING",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await itself.execute(statement)
        for statement in (
            "INSERT INTO alembic_version VALUES ('9999')",
            "UPDATE alembic_version SET version_num = '9999'",
            "DELETE FROM alembic_version",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await itself.execute(statement)


async def test_a_role_makes_nothing_anywhere(databases: Databases, role: str) -> None:
    async with connected(databases.url_of(role)) as connection:
        for statement in (
            f"CREATE TABLE {role}.mine ()",
            f"CREATE FUNCTION {role}.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'",
            f"CREATE VIEW {role}.mine AS SELECT 1",
            f"CREATE SEQUENCE {role}.mine",
            f"CREATE TYPE {role}.mine AS ENUM ()",
            f"DROP SCHEMA {role} CASCADE",
            "CREATE TABLE public.mine ()",
            "CREATE TEMPORARY TABLE mine ()",
            "CREATE TEMPORARY VIEW mine AS SELECT 1",
            "CREATE SCHEMA mine",
            "CREATE DATABASE mine",
            "CREATE ROLE mine",
            "SET ROLE migrator",
            "SET SESSION AUTHORIZATION migrator",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_what_a_later_migration_makes_is_used_and_not_owned(databases: Databases, role: str) -> None:
    async with connected(databases.migrator_url) as migrator:
        await migrator.execute(f"CREATE TABLE {role}.later (id bigint GENERATED ALWAYS AS IDENTITY, value int)")
    async with connected(databases.url_of(role)) as itself:
        await itself.execute("INSERT INTO later (value) VALUES (1)")
        await itself.execute("UPDATE later SET value = 2")
        assert await itself.fetchval("DELETE FROM later RETURNING value") == 2
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await itself.execute("DROP TABLE later")
    async with connected(databases.url_of(OTHER[role])) as other:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.execute(f"SELECT FROM {role}.later")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("elsewhere", ["postgres", "template1"])
async def test_no_role_connects_to_another_database(databases: Databases, name: str, elsewhere: str) -> None:
    url = make_url(databases.url_of(name)).set(database=elsewhere).render_as_string(hide_password=False)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
        async with connected(url):
            pass


@pytest.mark.parametrize("name", NAMES)
async def test_a_role_is_no_superuser_and_member_of_nothing(databases: Databases, name: str) -> None:
    async with connected(databases.admin_url) as admin:
        assert not any(await admin.fetchrow(ATTRIBUTES, name))
        assert await admin.fetch(MEMBERSHIPS, name) == []
        for right in ("CREATE", "TEMPORARY"):
            held = await admin.fetchval("SELECT has_database_privilege($1, current_database(), $2)", name, right)
            assert not held, right


async def test_a_role_reads_no_file_and_starts_no_program_of_the_server(databases: Databases, role: str) -> None:
    async with connected(databases.url_of(role)) as connection:
        for statement in (
            "SELECT pg_read_file('postgresql.conf')",
            "SELECT pg_ls_dir('.')",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "COPY (SELECT 1) TO '/tmp/written'",
            "SELECT rolpassword FROM pg_authid",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
