"""Two services in one database, and neither can see what the other keeps: deploy/postgres/roles.sql."""

from __future__ import annotations

import asyncpg
import pytest

from deploy.postgres.roles import ROLES, create_roles
from tests.servers.databases import PASSWORDS, Databases, connected


@pytest.mark.parametrize("role", ["auth", "users"])
async def test_a_role_finds_its_own_tables_without_naming_their_schema(databases: Databases, role: str) -> None:
    async with connected(databases.url_of(role)) as connection:
        assert await connection.fetchval("SELECT current_schema()") == role
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 0


async def test_no_other_role_may_connect(databases: Databases) -> None:
    async with connected(databases.admin_url) as admin:
        assert (
            await admin.fetchval(
                "SELECT count(*) FROM pg_database, aclexplode(datacl) AS granted"
                " WHERE datname = current_database() AND granted.grantee = 0"
            )
            == 0
        )


async def test_a_second_run_keeps_data_and_takes_rights_back(databases: Databases) -> None:
    async with connected(databases.migrator_url) as migrator:
        await migrator.execute("CREATE TABLE auth.kept AS SELECT 1 AS number")
    async with connected(databases.admin_url) as admin:
        await admin.execute(
            "GRANT USAGE ON SCHEMA auth TO users; GRANT TRUNCATE ON auth.kept TO auth; ALTER ROLE users CREATEDB;"
            "GRANT UPDATE ON auth.alembic_version TO auth"
        )
        await create_roles(admin, PASSWORDS)
        assert await admin.fetchval("SELECT number FROM auth.kept") == 1
        assert not await admin.fetchval("SELECT has_schema_privilege('users', 'auth', 'USAGE')")
        assert not await admin.fetchval("SELECT has_table_privilege('auth', 'auth.kept', 'TRUNCATE')")
        assert not await admin.fetchval("SELECT has_table_privilege('auth', 'auth.alembic_version', 'UPDATE')")
        assert not await admin.fetchval("SELECT rolcreatedb FROM pg_roles WHERE rolname = 'users'")


async def test_a_missing_password_is_said_in_a_sentence(databases: Databases) -> None:
    async with connected(databases.admin_url) as admin:
        for given in ("auth", "migrator"):
            await admin.execute(f"SELECT set_config('login2fa.{given}_password', 'given', false)")
        with pytest.raises(asyncpg.RaiseError, match=r"Set login2fa\.users_password before running roles\.sql"):
            await admin.execute(ROLES.read_text())
