"""Two services in one database, and neither can see what the other keeps: deploy/postgres/roles.sql."""

from __future__ import annotations

import asyncpg
import pytest

from deploy.postgres.roles import ROLES, create_roles
from tests.servers.databases import PASSWORDS, Databases, connected


@pytest.mark.parametrize("role", ["auth", "users"])
async def test_a_role_can_make_nothing_outside_its_own_schema(databases: Databases, role: str) -> None:
    async with connected(databases.url_of(role)) as connection:
        assert await connection.fetchval("SELECT current_schema()") == role
        for statement in (
            "CREATE TABLE public.mine ()",
            "CREATE TEMPORARY TABLE mine ()",
            "CREATE SCHEMA mine",
            "CREATE DATABASE mine",
            "CREATE ROLE mine",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


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
    async with connected(databases.auth_url) as auth:
        await auth.execute("CREATE TABLE kept AS SELECT 1 AS number")
    async with connected(databases.admin_url) as admin:
        await admin.execute("GRANT USAGE ON SCHEMA auth TO users; ALTER ROLE users CREATEDB")
        await create_roles(admin, auth_password=PASSWORDS["auth"], users_password=PASSWORDS["users"])
        assert await admin.fetchval("SELECT number FROM auth.kept") == 1
        assert not await admin.fetchval("SELECT has_schema_privilege('users', 'auth', 'USAGE')")
        assert not await admin.fetchval("SELECT rolcreatedb FROM pg_roles WHERE rolname = 'users'")


async def test_a_missing_password_is_said_in_a_sentence(databases: Databases) -> None:
    async with connected(databases.admin_url) as admin:
        await admin.execute("SELECT set_config('login2fa.auth_password', 'given', false)")
        with pytest.raises(asyncpg.RaiseError, match=r"Set login2fa\.users_password before running roles\.sql"):
            await admin.execute(ROLES.read_text())
