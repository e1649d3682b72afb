"""What the tests of back-pressure stand in: a clock that moves when they say so, people, and who reports deliveries."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import pytest
from prometheus_client import REGISTRY

from services.auth import pressure
from shared.events import AccountChanged
from tests.auth_steps import Accounts, Steps
from tests.code_reports import CodeReports
from tests.composed import AuthApp
from tests.database_clock import DatabaseClock
from tests.fakes import HeldBus

ON, OFF, ACCOUNTS, PROBE = 60, 20, 3, 10


@pytest.fixture
def bus() -> HeldBus:
    return HeldBus()


@pytest.fixture(autouse=True)
def verdicts_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure, "_VERDICT_HOLDS", 0)


@dataclass(frozen=True)
class World:
    auth: AuthApp
    accounts: Accounts
    reports: CodeReports
    steps: Steps
    clock: DatabaseClock
    bus: HeldBus

    async def login(self, account: AccountChanged) -> httpx.Response:
        return await self.auth.log_in(account.username)

    async def new(self, count: int = 1) -> list[AccountChanged]:
        return [await self.accounts.new(is_2fa=True) for _ in range(count)]

    async def somebody_logs_in(self) -> httpx.Response:
        (account,) = await self.new()
        return await self.login(account)

    async def reports_are_known(self) -> None:
        """A notifier of this version has been there."""
        (account,) = await self.new()
        await self.steps.begin(account)
        await self.reports.tell(account, "delivered")
        await self.clock.forward(1)

    async def wait_in_vain(
        self, count: int = ACCOUNTS, *, outcome: str = "", of_mailbox: bool = False
    ) -> list[AccountChanged]:
        """So many accounts wait for a code, so long that it turns on if it ever does."""
        waiting = await self.new(count)
        for account in waiting:
            await self.steps.begin(account)
            if outcome:
                await self.reports.tell(account, outcome, of_mailbox=of_mailbox)
        await self.clock.forward(ON)
        return waiting

    async def is_on(self) -> bool:
        await self.auth.parts.pressure.look()
        return REGISTRY.get_sample_value("login2fa_otp_pressure") == 1

    async def no_probe_is_due(self) -> None:
        """The next login would be let through to try: let somebody else be that."""
        assert (await self.somebody_logs_in()).status_code == 200


@pytest.fixture
async def world(
    clock: DatabaseClock, auth_app: AuthApp, accounts: Accounts, reports: CodeReports, steps: Steps, bus: HeldBus
) -> World:
    return World(auth_app, accounts, reports, steps, clock, bus)


def refused(answer: httpx.Response) -> bool:
    if answer.status_code != 503:
        return False
    assert answer.json()["code"] == "temporarily_unavailable"
    assert answer.headers["retry-after"] == str(PROBE)
    assert "temporary_token" not in answer.text
    return True
