"""Metrics tell what they say they tell. docs/metrics.md lists them: tests/integration/test_metrics_page.py."""

from __future__ import annotations

import math
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from services.auth.tokens.keys import KeyRing, generate
from shared import audit
from shared.messaging.audit_events import AuthAudited
from shared.messaging.bus import Delivery, Done, GiveUp, Outcome, Retry
from shared.messaging.handling import outcome_of
from shared.messaging.memory import MemoryBus
from shared.messaging.signed import SignedBus
from shared.messaging.topology import OTP_DELIVERY
from shared.version import VERSION
from tests import edge_keys
from tests.metrics import sample
from tests.recording import Recorder, otp_message

QUEUE = {"queue": OTP_DELIVERY.queue}


def test_the_version_is_that_of_the_package() -> None:
    package = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert package["project"]["version"] == VERSION


async def test_a_consumer_is_live_while_it_consumes() -> None:
    bus = SignedBus(MemoryBus(), edge_keys.ALL)
    consumption = await bus.consume(OTP_DELIVERY.queue, Recorder(), concurrency=1)
    assert sample("consumer_live", **QUEUE) == 1

    await consumption.stop(grace=0)
    assert sample("consumer_live", **QUEUE) == 0


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Done(), "done"),
        (Retry("busy"), "retry"),
        (Retry("full", tried=False), "put_off"),
        (GiveUp("no such mailbox"), "given_up"),
    ],
)
async def test_the_time_of_a_handler_counts_for_its_outcome(outcome: Outcome, word: str) -> None:
    before = sample("consumer_handle_seconds_count", outcome=word, queue="a")
    message = Delivery(routing_key="a", body=b"", event_id="1", correlation_id="-", attempt=1)
    await outcome_of(Recorder(outcome), message, "a")
    assert sample("consumer_handle_seconds_count", outcome=word, queue="a") == before + 1


async def test_a_message_given_up_in_one_process_counts_as_one_given_up_by_a_broker_does() -> None:
    before = sample("given_up_total", **QUEUE)
    bus = MemoryBus()
    await bus.consume(OTP_DELIVERY.queue, Recorder(GiveUp("no such mailbox")), concurrency=1)
    await bus.publish(otp_message())
    assert sample("given_up_total", **QUEUE) == before + 1


def test_a_record_of_the_audit_trail_counts() -> None:
    labels = {"service": "auth", "act": "login", "outcome": "refused", "reason": "wrong_credentials"}
    before = sample("acts_total", **labels)
    audit.log_committed(
        AuthAudited(
            event_id=uuid4(),
            occurred_at=datetime.now(UTC),
            act="login",
            outcome="refused",
            reason="wrong_credentials",
        )
    )
    assert sample("acts_total", **labels) == before + 1


def test_the_age_of_the_signing_key_begins_when_it_begins_to_sign(tmp_path: Path) -> None:
    generate(tmp_path, signs_from=datetime.now(UTC) - timedelta(days=2))
    generate(tmp_path, signs_from=datetime.now(UTC) + timedelta(days=1))
    assert KeyRing(tmp_path).age == pytest.approx(2 * 86400, abs=60)


def test_a_key_whose_file_has_no_time_in_its_name_has_no_age(tmp_path: Path) -> None:
    generate(tmp_path).rename(tmp_path / "key.pem")
    assert math.isnan(KeyRing(tmp_path).age)
