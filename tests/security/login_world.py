"""All three services in one event loop, on a database whose clock stands still; a walk takes it step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx

from services.notifier import app as notifier
from shared.messaging.memory import MemoryBus
from tests.composed import (
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    notifier_settings,
    running_auth,
    running_users,
    users_settings,
)
from tests.database_clock import DatabaseClock
from tests.polling import eventually
from tests.servers.databases import Databases, connected
from tests.serving_jwks import serving_jwks

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """`now` are the seconds that the database's clock has been moved."""

    loop: asyncio.AbstractEventLoop
    auth: AuthApp
    users: UsersApp
    admin: asyncpg.Connection
    codes: Path
    moved: list[int] = field(default_factory=list)

    @property
    def now(self) -> int:
        return sum(self.moved)

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(what)

    def pass_time(self, seconds: int) -> None:
        self.do(DatabaseClock(self.admin).forward(seconds))
        self.moved.append(seconds)

    def code(self, email: str, number: int) -> str:
        """The `number`th that was delivered to `email`; 1 is the first."""

        def delivered() -> str | None:
            lines = self.codes.read_text().splitlines() if self.codes.exists() else []
            codes = [line.removeprefix(f"{email}/") for line in lines if line.startswith(f"{email}/")]
            return codes[number - 1] if len(codes) >= number else None

        return str(self.do(eventually(delivered)))

    def known(self, account: str) -> None:
        """Wait until auth has heard of the account as users has it: its address is proved while a walk goes on."""

        async def heard() -> bool:
            query = "SELECT heard.version >= a.version FROM users.accounts a LEFT JOIN auth.identities heard USING (id)"
            return bool(await self.admin.fetchval(f"{query} WHERE id = $1", account))

        self.do(eventually(heard))


def told(answer: httpx.Response) -> str:
    """The status, with the code of a problem; a 429 must say when to come back."""
    assert answer.status_code != 429 or "retry-after" in answer.headers
    return str(answer.status_code) if answer.is_success else f"{answer.status_code} {answer.json()['code']}"


@contextmanager
def world(databases: Databases, keys: Keys, folder: Path, **settings: Any) -> Iterator[World]:
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    try:
        yield loop.run_until_complete(stack.enter_async_context(_running(loop, databases, keys, folder, settings)))
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()


@asynccontextmanager
async def _running(
    loop: asyncio.AbstractEventLoop, databases: Databases, keys: Keys, folder: Path, settings: dict[str, Any]
) -> AsyncIterator[World]:
    codes, bus = folder / "codes.txt", MemoryBus()
    async with connected(databases.admin_url) as admin, serving_jwks(keys.folder) as jwks_url:
        await DatabaseClock(admin).stop()
        async with (
            running_auth(auth_settings(databases, keys, **settings), bus) as auth,
            running_users(users_settings(databases, keys, jwks_url), keys, bus) as users,
            notifier.running(notifier_settings(keys, notifier_channel="file", otp_log_file=codes), bus),
        ):
            yield World(loop, auth, users, admin, codes)
        await bus.close()
