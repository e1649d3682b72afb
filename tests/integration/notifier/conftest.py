"""The notifier alone: the events of auth come from the test."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY

from shared.messaging.bus import Handler
from shared.messaging.events import OtpRequested
from shared.observability import logs
from tests.builders import otp_requested
from tests.composed import Keys, keys
from tests.composed_notifier import running_notifier
from tests.servers.mail import MailSink

__all__ = ("keys",)

Requested = Callable[..., OtpRequested]
Counted = Callable[[str], float]


@pytest.fixture
def requested(keys: Keys) -> Requested:
    """Makes events as auth does."""

    def make(**fields: Any) -> OtpRequested:
        return otp_requested(keys.otp_sealer, **fields)

    return make


@pytest.fixture
async def notifier(keys: Keys, mail_sink: MailSink) -> AsyncIterator[Handler]:
    """The notifier's handler; its mails go to `mail_sink`."""
    async with running_notifier(keys, smtp_port=mail_sink.port) as handler:
        yield handler


@pytest.fixture
def counted() -> Counted:
    """How many deliveries have come to this end since the test began."""

    def value(outcome: str) -> float:
        return REGISTRY.get_sample_value("login2fa_deliveries_total", {"outcome": outcome}) or 0

    before = {outcome: value(outcome) for outcome in ("delivered", "retry", "given_up", "expired")}
    return lambda outcome: value(outcome) - before[outcome]


@pytest.fixture
def log_lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What a process logs at its most talkative: JSON lines, as production formats them."""
    root, mail_server, stream = logging.getLogger(), logging.getLogger("mail.log"), io.StringIO()
    handlers, level = root.handlers[:], root.level
    logs.configure("notifier", "debug", stream)
    mail_server.setLevel("CRITICAL")  # aiosmtpd runs in this process too, and is not ours
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    mail_server.setLevel(logging.NOTSET)
    structlog.reset_defaults()
