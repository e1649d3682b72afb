"""S33: neither service's role reads, changes or owns anything of the other's, on the tables as they are migrated."""

from __future__ import annotations

import asyncpg
import pytest

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


async def test_all_of_a_schema_belongs_to_its_own_role(databases: Databases, role: str) -> None:
    async with connected(databases.admin_url) as admin:
        assert [row[0] for row in await admin.fetch(OWNERS, role)] == [role]


async def test_a_role_is_no_superuser_and_member_of_nothing(databases: Databases, role: str) -> None:
    async with connected(databases.admin_url) as admin:
        assert not any(await admin.fetchrow(ATTRIBUTES, role))
        assert await admin.fetch(MEMBERSHIPS, role) == []


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
