"""Tests about the system: who consumes which queue, and that nobody reads an event before its MAC is checked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from services.auth import app as auth
from services.notifier import app as notifier
from services.users import app as users
from shared.messaging.bus import Bus, Delivery, GiveUp, Handler
from shared.messaging.memory import MemoryBus
from shared.messaging.memory_consumer import MemoryConsumption
from shared.messaging.topology import SUBSCRIPTIONS, subscription
from shared.web.process import Running
from tests.composed import Keys, auth_settings, keys, notifier_settings, users_settings
from tests.servers.databases import Databases

__all__ = ("keys",)

CONSUMERS = {
    "auth": {"auth.accounts", "auth.otp_outcomes", "auth.heartbeats", "auth.in_step"},
    "users": {
        "users.ended_sessions",
        "users.account_code_outcomes",
        "users.proved_addresses",
        "users.account_factors",
        "users.rehashed_passwords",
    },
    "notifier": {"notifier.otp", "notifier.account_codes", "notifier.notices"},
}

Compositions = dict[str, Callable[[Bus], AbstractAsyncContextManager[Running]]]


@pytest.fixture
def compositions(databases: Databases, keys: Keys, tmp_path: Path) -> Compositions:
    return {
        "auth": lambda bus: auth.running(auth_settings(databases, keys), bus),
        "users": lambda bus: users.running(users_settings(databases, keys, "http://127.0.0.1:1/"), bus),
        "notifier": lambda bus: notifier.running(
            notifier_settings(keys, notifier_channel="file", otp_log_file=tmp_path / "codes.txt"), bus
        ),
    }


class Listening(MemoryBus):
    """Keeps which queues a service asks for, and with which handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.consumers: list[tuple[str, Handler]] = []

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> MemoryConsumption:
        self.consumers.append((queue, handler))
        return await super().consume(queue, handler, concurrency=concurrency)


async def test_every_subscription_has_one_service_that_consumes_it(compositions: Compositions) -> None:
    consumed: dict[str, set[str]] = {}
    for service, compose in compositions.items():
        bus = Listening()
        async with compose(bus):
            consumed[service] = {queue for queue, _ in bus.consumers}
            assert len(bus.consumers) == len(consumed[service])
        await bus.close()
    assert consumed == CONSUMERS
    assert {each.queue for each in SUBSCRIPTIONS} == set().union(*consumed.values())


async def test_every_consumer_refuses_what_is_not_signed_before_it_reads_it(compositions: Compositions) -> None:
    for compose in compositions.values():
        bus = Listening()
        async with compose(bus):
            for queue, handler in bus.consumers:
                for kind in subscription(queue).routing_keys:
                    forged = Delivery(routing_key=kind, body=b"{", event_id="e", correlation_id="c", attempt=1)
                    assert await handler(forged) == GiveUp("forged or unsigned"), queue
        await bus.close()
