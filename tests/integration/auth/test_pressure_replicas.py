"""Back-pressure of several replicas, while the database is in trouble, and without anybody asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.auth import pressure
from shared.broker.memory import MemoryBus
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.integration.auth.pressure_world import (
    World,
    bus,
    refused,
    verdicts_are_fresh,
    world,
)
from tests.polling import eventually
from tests.servers.databases import Databases

__all__ = ("bus", "verdicts_are_fresh", "world")


@pytest.fixture
async def other_replica(world: World, databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    async with running_auth(auth_settings(databases, keys), bus) as app:
        yield app


async def test_replicas_agree_and_share_the_trickle(world: World, other_replica: AuthApp) -> None:
    await world.reports_are_known()
    await world.wait_in_vain()
    people = await world.new(6)

    answers = [await (world.auth, other_replica)[i % 2].log_in(person.username) for i, person in enumerate(people)]

    assert [answer.status_code for answer in answers] == [200] + [503] * 5


async def test_one_line_is_logged_for_each_change_whoever_sees_it(world: World, other_replica: AuthApp) -> None:
    await world.reports_are_known()
    with capture_logs() as lines:
        waiting = await world.wait_in_vain()
        for replica in (world.auth, other_replica) * 3:
            await replica.parts.pressure.look()
        await world.reports.tell(waiting[-1], "delivered")
        for replica in (world.auth, other_replica) * 3:
            await replica.parts.pressure.look()

    said = [(line["log_level"], line["event"]) for line in lines if line["event"].startswith("two-factor logins")]
    assert said == [("error", "two-factor logins are refused"), ("info", "two-factor logins are let in again")]


async def test_it_is_judged_once_a_second_however_many_log_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    original = pressure.Pressure._judge

    async def judge(self: pressure.Pressure, connection: object) -> bool:
        judged.append(self)
        return await original(self, connection)  # type: ignore[arg-type] # handed on as it came

    monkeypatch.setattr(pressure.Pressure, "_judge", judge)
    assert (await world.somebody_logs_in()).status_code == 200
    assert judged
    monkeypatch.setattr(pressure, "_VERDICT_HOLDS", 3600)
    judged.clear()

    for _ in range(5):
        assert (await world.somebody_logs_in()).status_code == 200

    assert judged == []


async def test_a_verdict_that_can_not_be_had_stays_as_it_was(world: World, sql: asyncpg.Connection) -> None:
    await world.reports_are_known()
    await world.wait_in_vain()
    assert await world.is_on()

    await sql.execute("ALTER TABLE auth.pressure RENAME TO elsewhere")
    assert await world.is_on()
    await sql.execute("ALTER TABLE auth.elsewhere RENAME TO pressure")
    await world.no_probe_is_due()

    assert refused(await world.somebody_logs_in())


async def test_it_is_noticed_without_logins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that only logins bring up to date tells nothing once clients have given up."""
    monkeypatch.setattr(pressure, "_LOOK_EVERY", 0.02)
    await world.reports_are_known()
    watch = asyncio.create_task(world.auth.parts.pressure.watch_forever())
    try:
        await world.wait_in_vain()
        await eventually(lambda: REGISTRY.get_sample_value("login2fa_otp_pressure") == 1)
    finally:
        watch.cancel()
        await asyncio.wait([watch])
