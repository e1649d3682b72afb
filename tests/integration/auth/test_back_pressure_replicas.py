"""Back-pressure of several replicas, while the database is in trouble, and without anybody asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.auth.factors import back_pressure
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.fakes import HeldBus
from tests.integration.auth.back_pressure_world import SILENCE, World, auth_app, bus, world
from tests.polling import eventually
from tests.servers.databases import Databases, connected

__all__ = ("auth_app", "bus", "world")


@pytest.fixture
async def other_replica(world: World, databases: Databases, keys: Keys, bus: HeldBus) -> AsyncIterator[AuthApp]:
    async with running_auth(auth_settings(databases, keys, notifier_silence=SILENCE), bus) as app:
        yield app


async def test_replicas_agree_and_one_of_them_logs_each_change(world: World, other_replica: AuthApp) -> None:
    replicas = (world.auth, other_replica)
    await world.beat()
    with capture_logs() as lines:
        for _ in range(SILENCE // 10):
            await world.clock.forward(10)
            assert len({await each.parts.back_pressure.judge() for each in replicas}) == 1
        assert await other_replica.parts.back_pressure.judge()
        await world.beat()
        assert not any([await each.parts.back_pressure.judge() for each in replicas * 2])

    said = [(line["log_level"], line["event"]) for line in lines if line["event"].startswith("two-factor logins")]
    assert said == [("error", "two-factor logins are refused"), ("info", "two-factor logins are let in again")]


async def test_a_verdict_that_can_not_be_had_stays_as_it_was(world: World, databases: Databases) -> None:
    await world.beat()
    await world.passes(SILENCE)
    assert await world.is_on()

    async with connected(databases.migrator_url) as owner:
        await owner.execute("ALTER TABLE auth.back_pressure RENAME TO elsewhere")
        assert await world.is_on()
        await owner.execute("ALTER TABLE auth.elsewhere RENAME TO back_pressure")
    assert await world.is_on()


async def test_it_is_noticed_without_logins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that only logins bring up to date tells nothing once clients have given up."""
    monkeypatch.setattr(back_pressure, "_LOOK_EVERY", 0.02)
    watch = asyncio.create_task(world.auth.parts.back_pressure.judge_forever())
    try:
        await world.beat()
        await world.passes(SILENCE)
        await eventually(lambda: REGISTRY.get_sample_value("login2fa_otp_pressure") == 1)
        assert (REGISTRY.get_sample_value("login2fa_notifier_silence_seconds") or 0) >= SILENCE
    finally:
        watch.cancel()
        await asyncio.wait([watch])
