"""A service's database for the models that need a real one: one event loop, a pool, and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import Identity, apply
from services.auth.settings import AuthSettings
from services.users.settings import UsersSettings
from shared.database.pool import Database
from shared.messaging.address_events import CodeRequested
from shared.messaging.events import OtpRequested
from shared.sealing import Sealer
from tests.builders import account_changed
from tests.composed import Keys, auth_settings, users_settings
from tests.database_clock import DatabaseClock
from tests.servers.databases import Databases, asyncpg_dsn

T = TypeVar("T")

MOST_CLIENTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPostgres:
    loop: asyncio.AbstractEventLoop
    database: Database
    admin: asyncpg.Connection
    clock: DatabaseClock

    def run(self, what: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await what

        return self.loop.run_until_complete(awaited())

    def commit(self, operation: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """In a transaction of its own, in one go. Any: what the operation returns."""

        async def transaction() -> Any:
            async with self.database.transaction() as connection:
                return await operation(connection, *args)

        return self.run(transaction())

    def fetch(self, query: str, *values: object) -> Any:
        """One value. Any: of whatever type the query gives."""
        return self.run(self.admin.fetchval(query, *values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth(OnPostgres):
    settings: AuthSettings
    keys: Keys

    def new_identity(self) -> Identity:
        event = account_changed(self.keys.account_sealer, account_id=uuid7(), is_2fa=True)
        self.commit(apply, event, "no hash")
        return Identity(
            id=event.account_id,
            version=1,
            username_key=event.username,
            email=event.email,
            password_hash="no hash",
            is_2fa=True,
            is_active=True,
            session_epoch=event.session_epoch,
            password_by_mail=False,
            factors_version=0,
            factors=[],
            login_epoch=None,
        )

    def latest_code(self, challenge: UUID) -> str:
        """As the outbox has it for the notifier."""
        query = "SELECT body FROM auth.outbox WHERE body::jsonb->>'challenge_id' = $1 ORDER BY id DESC LIMIT 1"
        event = OtpRequested.model_validate_json(self.fetch(query, str(challenge)))
        return Sealer.of(self.settings.otp_sealing_keys).open(event.sealed_code, event.code_context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Users(OnPostgres):
    settings: UsersSettings
    keys: Keys

    def code_of(self, request: UUID) -> str:
        """As the outbox has it for the notifier."""
        body = self.fetch("SELECT body FROM users.outbox WHERE body::jsonb->>'code_id' = $1", str(request))
        event = CodeRequested.model_validate_json(body)
        return self.keys.mailed_sealer.open(event.sealed_code, event.code_context)


@contextmanager
def auth_on_postgres(databases: Databases, keys: Keys, **settings: Any) -> Iterator[Auth]:
    with _on_postgres("auth", databases.auth_url, databases.admin_url) as parts:
        yield Auth(**parts, settings=auth_settings(databases, keys, **settings), keys=keys)


@contextmanager
def users_on_postgres(databases: Databases, keys: Keys, **settings: Any) -> Iterator[Users]:
    with _on_postgres("users", databases.users_url, databases.admin_url) as parts:
        yield Users(**parts, settings=users_settings(databases, keys, "http://not-used", **settings), keys=keys)


@contextmanager
def _on_postgres(schema: Literal["auth", "users"], url: str, admin_url: str) -> Iterator[dict[str, Any]]:
    """The fields of `OnPostgres`."""
    loop = asyncio.new_event_loop()
    admin = loop.run_until_complete(asyncpg.connect(asyncpg_dsn(admin_url)))
    clock = DatabaseClock(admin, schema)
    loop.run_until_complete(clock.stop())
    database = Database(url, pool_size=MOST_CLIENTS + 1)
    try:
        yield {"loop": loop, "database": database, "admin": admin, "clock": clock}
    finally:
        loop.run_until_complete(database.close())
        loop.run_until_complete(admin.close())
        loop.close()
