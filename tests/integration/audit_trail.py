"""The audit trail as a test reads it: from the bus, and from the log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from shared.audit_acts import combinations
from shared.audit_words import Act, ActOutcome, Reason
from shared.messaging.audit_events import Audited, AuthAudited, UsersAudited
from shared.messaging.topology import ACCOUNT_CODES, NOTICES
from shared.observability import logs
from tests.account_codes import AccountCodes
from tests.composed import Keys
from tests.fakes import TroubledBus
from tests.polling import eventually
from tests.recording import Recorder

Expected = tuple[Act, ActOutcome, Reason | None]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
async def bus() -> AsyncIterator[TroubledBus]:
    bus = TroubledBus()
    await bus.consume(NOTICES.queue, Recorder(), concurrency=1)
    yield bus
    await bus.close()


@pytest.fixture(autouse=True)
async def account_codes(bus: TroubledBus, keys: Keys) -> AccountCodes:
    codes = AccountCodes(keys.mailed_sealer)
    await bus.consume(ACCOUNT_CODES.queue, codes, concurrency=1)
    return codes


AUDIT: dict[str, type[Audited]] = {each.type: each for each in (AuthAudited, UsersAudited)}


@dataclass(frozen=True)
class Trail:
    bus: TroubledBus

    @property
    def events(self) -> list[Audited]:
        """As they were published, each once."""
        told = {each.event_id: each for each in self.bus.attempts if each.routing_key in AUDIT}
        events = [AUDIT[each.routing_key].from_message(each) for each in told.values()]
        for event in events:
            if event.reason != "operator":
                assert (event.act, event.outcome, event.reason) in combinations(event.service), "has no series yet"
        return events

    def of(self, account: str, service: str = "") -> list[Audited]:
        events = [event for event in self.events if str(event.account_id) == account]
        return [event for event in events if service in ("", event.service)]

    async def becomes(self, account: str, *expected: Expected, service: str = "") -> list[Audited]:
        """Once it is told in full, all that is told of this account, in order. `service`: all that this one tells."""

        def told() -> list[Audited]:
            events = self.of(account, service)
            assert [(event.act, event.outcome, event.reason) for event in events] == list(expected)
            return events

        return await eventually(told)


@pytest.fixture
def trail(bus: TroubledBus) -> Trail:
    return Trail(bus)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The lines of the audit trail, where an operator wants to read of nothing but errors."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    logs.configure("auth", "error", stream)

    def audited() -> list[dict[str, Any]]:
        written = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [line for line in written if line["event"] == "audit"]

    yield audited
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
