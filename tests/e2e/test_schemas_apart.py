"""Neither service can read what the other keeps: as its role, on the real tables."""

from __future__ import annotations

import asyncpg
import pytest

from tests.servers.databases import connected
from tests.stacks.stack import Stack

OTHER = {"auth": "users", "users": "auth"}
TABLES = {
    "auth": [
        *("identities", "in_step", "challenges", "notifiers", "back_pressure", "sessions", "refresh_tokens"),
        *("login_failures", "name_failures", "address_failures", "familiar_addresses", "code_failures"),
        *("factors", "totp", "passkeys", "recovery_codes", "used_ceremonies", "trusted_devices"),
        *("notices", "outbox", "alembic_version"),
    ],
    "users": [
        *("accounts", "incarnation", "in_step", "tombstones", "ended_sessions"),
        *("password_guesses", "name_guesses", "registration_keys"),
        *("codes", "pending_registrations", "invitations"),
        *("notices", "outbox", "alembic_version"),
    ],
}


@pytest.fixture(params=["auth", "users"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def url_of(stack: Stack, role: str) -> str:
    return stack.auth_database_url if role == "auth" else stack.users_database_url


async def test_permission_is_denied_on_the_schema_of_the_other_service(stack: Stack, role: str) -> None:
    schema = OTHER[role]
    async with connected(url_of(stack, role)) as stranger:
        assert await stranger.fetchval("SELECT current_user::text") == role
        for table in TABLES[schema]:
            for statement in (
                f"SELECT * FROM {schema}.{table}",
                f"INSERT INTO {schema}.{table} DEFAULT VALUES",
                f"DELETE FROM {schema}.{table}",
                f"TRUNCATE {schema}.{table}",
                f"DROP TABLE {schema}.{table}",
                f"COPY {schema}.{table} TO STDOUT",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                    await stranger.execute(statement)


async def test_those_are_all_tables_that_there_are(stack: Stack, role: str) -> None:
    async with connected(url_of(stack, role)) as owner:
        rows = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", role)

    assert sorted(row["tablename"] for row in rows) == sorted(TABLES[role])


async def test_each_role_reads_its_own(stack: Stack, role: str) -> None:
    async with connected(url_of(stack, role)) as owner:
        for table in TABLES[role]:
            await owner.fetch(f"SELECT * FROM {role}.{table} LIMIT 1")


async def test_no_role_becomes_the_other_or_more(stack: Stack, role: str) -> None:
    async with connected(url_of(stack, role)) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"SET ROLE {OTHER[role]}")
        is_super = await connection.fetchval("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = $1", role)
        assert is_super is False
