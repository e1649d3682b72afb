"""Row 22: the password of a database role changes, and the processes are restarted one after the other.

Who is connected stays so. Who has the old password and loses a connection is "not now" (I6), and says so in its
readiness (I10), until it is started with the new one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import make_url

from shared.messaging.amqp import AmqpBus
from tests.auth_steps import pair
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.faults.rows.crowd import Crowd, is_as_usual
from tests.faults.rows.promises import Promises
from tests.integration.codes_path import CodesPath
from tests.servers.databases import Databases, connected

NEW_PASSWORD = "another-password-of-the-tests"


@pytest.fixture
def databases(databases_of_our_own: Databases) -> Databases:
    """Roles belong to the whole server."""
    return databases_of_our_own


def url_with_the_new_one(databases: Databases) -> str:
    return make_url(databases.auth_url).set(password=NEW_PASSWORD).render_as_string(hide_password=False)


@asynccontextmanager
async def restarted(path: CodesPath, databases: Databases, keys: Keys) -> AsyncIterator[AuthApp]:
    settings = auth_settings(databases, keys, auth_database_url=url_with_the_new_one(databases))
    bus = AmqpBus(path.amqp_url, name="auth")
    try:
        async with running_auth(settings, bus) as auth:
            yield auth
    finally:
        await bus.close()


async def end_connections(databases: Databases) -> None:
    async with connected(databases.admin_url) as admin:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_codes_asked_for_with_the_old_password_are_verified_with_the_new_one(
    path: CodesPath, databases: Databases, keys: Keys, promises: Promises
) -> None:
    crowd = Crowd(path, promises)
    await path.start_notifier()
    accounts = await crowd.accounts(2)
    earlier, later = await crowd.challenged(accounts)
    async with connected(databases.admin_url) as admin:
        await admin.execute(f"ALTER ROLE auth PASSWORD '{NEW_PASSWORD}'")

    async with restarted(path, databases, keys) as auth:
        pair(await auth.verify_otp(earlier.temporary, earlier.code))
        pair(await path.auth.verify_otp(later.temporary, later.code))  # it is connected still

        await end_connections(databases)
        assert not is_as_usual(await path.auth.log_in(accounts[0].username))
        assert not await path.auth.checks["auth-database"]()

        path.auth = auth
        assert await path.code_arrives()
