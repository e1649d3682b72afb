"""Auth alone: the events of the users service come from the test, and codes are read from the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Steps
from tests.code_reports import CodeReports
from tests.composed import AuthApp, Keys, auth_app, bus, inbox, keys, strong_hashes
from tests.database_clock import DatabaseClock
from tests.factor_steps import App, FactorSteps
from tests.inbox import Inbox
from tests.passkey_steps import PasskeySteps
from tests.servers.databases import Databases, connected

__all__ = ("auth_app", "bus", "inbox", "keys", "strong_hashes")


@pytest.fixture
def accounts(bus: MemoryBus, keys: Keys) -> Accounts:
    return Accounts(bus, keys.account_sealer)


@pytest.fixture
async def sql(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """What the tables of auth hold."""
    async with connected(databases.auth_url) as connection:
        yield connection


@pytest.fixture
def steps(auth_app: AuthApp, inbox: Inbox) -> Steps:
    return Steps(auth_app, inbox)


@pytest.fixture
def reports(bus: MemoryBus, inbox: Inbox) -> CodeReports:
    return CodeReports(bus, inbox)


@pytest.fixture
async def clock(databases: Databases) -> AsyncIterator[DatabaseClock]:
    """The database's clock, standing still. To be asked for before the service."""
    async with connected(databases.admin_url) as admin:
        clock = DatabaseClock(admin)
        await clock.stop()
        yield clock


@pytest.fixture
def factors(clock: DatabaseClock, auth_app: AuthApp) -> FactorSteps:
    return FactorSteps(auth_app, clock)


@pytest.fixture
def passkeys(auth_app: AuthApp) -> PasskeySteps:
    return PasskeySteps(auth_app)


@pytest.fixture
async def account(factors: FactorSteps, accounts: Accounts) -> AccountChanged:
    """Without a second factor. The database's clock stands still."""
    _ = factors
    return await accounts.new(email_verified=True)


@pytest.fixture
async def app(account: AccountChanged, factors: FactorSteps) -> App:
    """The account's authenticator app; its session began with the password alone."""
    return await factors.app(account)
