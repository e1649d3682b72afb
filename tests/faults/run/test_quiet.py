"""The judge of the databases finds each breach, as that of the answers does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.builders import OTHER_PASSWORD, PASSWORD, password_hash
from tests.faults.run.ledger import Ledger
from tests.faults.run.quiet import differing_accounts, differing_factors, lost_passwords, lost_proofs
from tests.servers.databases import Databases, connected

EMAIL = "a@example.org"


@dataclass
class Tables:
    """An account with a proved address, as users and auth have it."""

    sql: asyncpg.Connection
    account: UUID

    async def differ(self, **values: Any) -> None:
        """In auth."""
        for name, value in values.items():
            await self.sql.execute(f"UPDATE auth.identities SET {name} = $1 WHERE id = $2", value, self.account)


@pytest.fixture
async def tables(databases: Databases) -> AsyncIterator[Tables]:
    async with connected(databases.admin_url) as sql:
        tables = Tables(sql, uuid4())
        hashed, now = password_hash(), datetime.now(UTC)
        await sql.execute(
            "INSERT INTO users.accounts (id, email, email_key, username, username_key, name, lastname, password_hash,"
            " is_2fa, email_verified_at) VALUES ($1, $2, $2, 'a', 'a', 'A', 'A', $3, false, $4)",
            tables.account, EMAIL, hashed, now,
        )  # fmt: skip
        await sql.execute(
            "INSERT INTO auth.identities (id, incarnation, version, deleted, username_key, email, password_hash,"
            " is_2fa, is_admin, is_active, email_verified, session_epoch)"
            " VALUES ($1, 1, 1, false, 'a', $2, $3, false, false, true, true, 0)",
            tables.account, EMAIL, hashed,
        )  # fmt: skip
        yield tables


async def breaches(tables: Tables) -> list[str]:
    ledger = Ledger(proved={EMAIL}, passwords={EMAIL: PASSWORD})
    found = [
        *await lost_proofs(tables.sql, ledger),
        *await lost_passwords(tables.sql, ledger),
        *await differing_accounts(tables.sql),
        *await differing_factors(tables.sql),
    ]
    return [breach[:2] for breach in found]


async def test_accounts_that_are_the_same_are_no_breach(tables: Tables) -> None:
    assert await breaches(tables) == []


@pytest.mark.parametrize("column", ["version", "session_epoch"])
async def test_a_change_that_auth_has_not_learnt_of(tables: Tables, column: str) -> None:
    await tables.differ(**{column: 2})
    assert await breaches(tables) == ["I8"]


async def test_a_factor_that_users_has_not_learnt_of(tables: Tables) -> None:
    await tables.sql.execute(
        "INSERT INTO auth.factors (account_id, user_handle, methods) VALUES ($1, $2, '{totp,recovery}')",
        tables.account, bytes(32),
    )  # fmt: skip
    assert await breaches(tables) == ["I8"]
    await tables.sql.execute("UPDATE users.accounts SET factors = '{totp,recovery}', factors_version = 1")
    assert await breaches(tables) == []


async def test_a_proof_that_is_lost(tables: Tables) -> None:
    await tables.differ(email_verified=False)
    assert await breaches(tables) == ["I1", "I8"]


async def test_a_password_that_is_lost(tables: Tables) -> None:
    await tables.differ(password_hash=password_hash(OTHER_PASSWORD))
    assert await breaches(tables) == ["I1", "I8"]


async def test_an_account_that_is_lost(tables: Tables) -> None:
    await tables.sql.execute("DELETE FROM auth.identities")
    assert await breaches(tables) == ["I1", "I1", "I8"]
