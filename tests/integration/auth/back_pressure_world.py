"""What the tests of back-pressure stand in: a clock that moves when they say so, people, and notifiers that speak."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from shared.messaging.events import AccountChanged, NotifierHeartbeat
from tests.auth_steps import Accounts, Steps
from tests.builders import message
from tests.code_reports import CodeReports
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.database_clock import DatabaseClock
from tests.fakes import HeldBus
from tests.servers.databases import Databases

ON, SILENCE = 60, 30


@pytest.fixture
def bus() -> HeldBus:
    return HeldBus()


@dataclass
class World:
    auth: AuthApp
    accounts: Accounts
    reports: CodeReports
    steps: Steps
    clock: DatabaseClock
    bus: HeldBus
    notifier: UUID = field(default_factory=uuid4)
    _beats: Counter[UUID] = field(default_factory=Counter)

    async def beat(self, notifier: UUID | None = None, **fields: Any) -> NotifierHeartbeat:
        """It is well, unless `fields` say otherwise; returns when auth has heard it."""
        instance = notifier or self.notifier
        self._beats[instance] += 1
        values = {"number": self._beats[instance], "consuming": True, "mail_taken": True}
        said = NotifierHeartbeat(instance_id=instance, occurred_at=datetime.now(UTC), **values | fields)
        await self.bus.publish(message(said))
        return said

    async def login(self, account: AccountChanged) -> httpx.Response:
        return await self.auth.log_in(account.username)

    async def new(self, count: int = 1) -> list[AccountChanged]:
        return [await self.accounts.new(is_2fa=True) for _ in range(count)]

    async def somebody_logs_in(self) -> httpx.Response:
        (account,) = await self.new()
        return await self.login(account)

    async def passes(self, seconds: int, *, beating: bool = False, **fields: Any) -> None:
        """Auth looks all that time; a notifier speaks, if it is `beating`."""
        for step in [10] * (seconds // 10) + [seconds % 10]:
            await self.clock.forward(step)
            if beating:
                await self.beat(**fields)
            await self.is_on()

    async def is_on(self) -> bool:
        return await self.auth.parts.back_pressure.judge()


@pytest.fixture
async def auth_app(clock: DatabaseClock, databases: Databases, keys: Keys, bus: HeldBus) -> AsyncIterator[AuthApp]:
    async with running_auth(auth_settings(databases, keys, notifier_silence=SILENCE), bus) as app:
        yield app


@pytest.fixture
async def world(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, reports: CodeReports, steps: Steps, bus: HeldBus
) -> World:
    made = World(auth_app, accounts, reports, steps, clock, bus)
    await made.is_on()  # silence counts from the first look, which must be before the clock is moved
    return made


def refused(answer: httpx.Response) -> bool:
    if answer.status_code != 503:
        return False
    assert answer.json()["code"] == "temporarily_unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    assert "temporary_token" not in answer.text
    return True
