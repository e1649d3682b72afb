"""Codes that prove an address: their way through the notifier, beside that of the login codes and like it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.fernet import Fernet
from prometheus_client import REGISTRY

from services.notifier import app, turns
from shared.messaging.address_events import CodePurpose, CodeRequested
from shared.messaging.bus import BusUnavailable, Consumption, Done, GiveUp, Handler, Message, Retry
from shared.messaging.memory import MemoryBus
from shared.messaging.memory_consumer import MemoryConsumption
from shared.messaging.topology import ACCOUNT_CODES, NOTICES, OTP_DELIVERY, OTP_OUTCOMES
from shared.sealing import Sealer
from tests.builders import code_requested, delivery, message, otp_requested
from tests.composed import Keys, notifier_settings
from tests.composed_notifier import ReportsHeard, running_notifier
from tests.integration.notifier.test_secrecy import said
from tests.polling import eventually
from tests.recording import Recorder
from tests.servers.mail import SILENCE, MailSink, Stage

LogLines = Callable[[], list[dict[str, Any]]]
CODE = "K7X9M2Q4TZ"


@pytest.fixture
def reports() -> ReportsHeard:
    return ReportsHeard()


@pytest.fixture
async def account_codes(keys: Keys, mail_sink: MailSink, reports: ReportsHeard) -> AsyncIterator[Handler]:
    async with running_notifier(keys, reports, queue=ACCOUNT_CODES.queue, smtp_port=mail_sink.port) as handler:
        yield handler


@pytest.fixture
def event(keys: Keys) -> CodeRequested:
    return code_requested(keys.mailed_sealer, code=CODE)


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("login2fa_account_codes_total", {"outcome": outcome}) or 0


@pytest.mark.parametrize("purpose", get_args(CodePurpose))
async def test_a_code_is_one_mail_to_one_mailbox_and_its_delivery_is_reported_to_users(
    keys: Keys, account_codes: Handler, mail_sink: MailSink, reports: ReportsHeard, purpose: CodePurpose
) -> None:
    event = code_requested(keys.mailed_sealer, code=CODE, purpose=purpose, account_id=None)
    before = counted("delivered")

    assert await account_codes(delivery(event, attempt=3)) == Done()

    [mail] = mail_sink.received
    assert (mail.recipients, mail.purpose, mail.account_code) == (["ann@example.org"], purpose, CODE)
    [report] = reports.of_account_codes
    assert (report.code_id, report.outcome, report.attempt) == (event.code_id, "delivered", 3)
    assert (reports.all, reports.bus.attempts[0].correlation_id) == ([], "request-1")
    assert counted("delivered") - before == 1


@pytest.mark.parametrize(
    ("reply", "outcome", "word", "count"),
    [("450 Busy", Retry, "deferred", "retry"), ("550 Nobody", GiveUp, "given_up", "given_up")],
)
async def test_every_attempt_that_fails_is_reported_and_counted(
    account_codes: Handler,
    event: CodeRequested,
    mail_sink: MailSink,
    reports: ReportsHeard,
    reply: str,
    outcome: type[Retry | GiveUp],
    word: str,
    count: str,
) -> None:
    mail_sink.refuse(reply)
    before = counted(count)

    outcomes = [await account_codes(delivery(event, attempt=attempt)) for attempt in (1, 2)]

    assert [type(each) for each in outcomes] == [outcome, outcome]
    assert [(said.outcome, said.attempt) for said in reports.of_account_codes] == [(word, 1), (word, 2)]
    assert counted(count) - before == 2


async def test_a_code_whose_next_attempt_would_be_too_late_is_dropped_counted_and_reported(
    keys: Keys, account_codes: Handler, mail_sink: MailSink, reports: ReportsHeard
) -> None:
    mail_sink.refuse("450 Busy")
    before = counted("expired")

    # The next attempt would be 30 seconds from now.
    assert await account_codes(delivery(code_requested(keys.mailed_sealer, lives=20), attempt=4)) == Done()

    assert [said.outcome for said in reports.of_account_codes] == ["expired"]
    assert (counted("expired") - before, mail_sink.received) == (1, [])


async def test_the_key_of_login_codes_opens_no_account_code(
    keys: Keys, account_codes: Handler, mail_sink: MailSink, reports: ReportsHeard
) -> None:
    event = code_requested(keys.otp_sealer)

    assert await account_codes(delivery(event)) == GiveUp("Unsealable: InvalidToken")

    assert [(said.code_id, said.outcome) for said in reports.of_account_codes] == [(event.code_id, "given_up")]
    assert mail_sink.connections == 0


async def test_a_code_sealed_with_the_key_before_is_mailed_while_that_key_is_listed(
    keys: Keys, mail_sink: MailSink
) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings = {"smtp_port": mail_sink.port, "mailed_code_sealing_keys": f"{new},{old}"}
    async with running_notifier(keys, queue=ACCOUNT_CODES.queue, **settings) as account_codes:
        for key in (old, new):
            assert await account_codes(delivery(code_requested(Sealer([key])))) == Done()


async def test_what_is_no_address_is_given_up(keys: Keys, account_codes: Handler, mail_sink: MailSink) -> None:
    outcome = await account_codes(delivery(code_requested(keys.mailed_sealer, email="a@example.org, b@example.org")))

    assert outcome == GiveUp("MalformedEvent: malformed users.code_requested.v1: email")
    assert mail_sink.connections == 0


def recipients(sink: MailSink) -> list[str]:
    return [line for line in sink.heard if line.startswith("RCPT")]


async def test_login_codes_do_not_wait_behind_account_codes(
    keys: Keys, mail_sink: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("FIRST_PATIENCE", "SLOW_SECONDS"):
        monkeypatch.setattr(turns, patience, 3600)  # a mail that waits for its server keeps its turn
    bus = MemoryBus()
    await bus.consume(OTP_OUTCOMES.queue, Recorder(), concurrency=1)
    mail_sink.refuse(SILENCE, recipient="@.example")
    settings = notifier_settings(keys, smtp_port=mail_sink.port, smtp_timeout=60)
    async with asyncio.timeout(30), app.running(settings, bus):  # else a code that waits makes the test wait
        # Each to a domain of its own: one domain has but a share of the turns.
        emails = [f"ann@stuck{number}.example" for number in range(100)]
        stuck = [code_requested(keys.mailed_sealer, email=email, purpose="reset") for email in emails]
        waiting = [asyncio.create_task(bus.publish(message(each))) for each in stuck]
        await eventually(lambda: len(recipients(mail_sink)) >= 3)  # three of four turns: not one is known to be quick

        await bus.publish(message(otp_requested(keys.otp_sealer)))

        assert [mail.recipients for mail in mail_sink.received] == [["ann@example.org"]]
        for task in waiting:
            task.cancel()
    await bus.close()


async def test_reports_that_users_does_not_take_silence_none_to_auth(
    keys: Keys, event: CodeRequested, mail_sink: MailSink, reports: ReportsHeard
) -> None:
    async def refuse(sent: Message) -> None:
        if sent.routing_key == "notifier.account_code_outcome.v1":
            raise BusUnavailable("by a test")

    reports.bus.before = refuse
    async with running_notifier(keys, reports, smtp_port=mail_sink.port) as codes:
        assert await reports.bus.handlers[ACCOUNT_CODES.queue](delivery(event)) == Done()
        assert await codes(delivery(otp_requested(keys.otp_sealer))) == Done()

    assert (len(mail_sink.received), reports.of_account_codes) == (2, [])
    assert [said.outcome for said in reports.all] == ["delivered"]


class Stoppable(MemoryBus):
    """Keeps what is consumed, so that a test can stop it."""

    def __init__(self) -> None:
        super().__init__()
        self.consumptions: dict[str, Consumption] = {}

    async def consume(self, queue: str, handler: Handler, *, concurrency: int) -> MemoryConsumption:
        self.consumptions[queue] = consumption = await super().consume(queue, handler, concurrency=concurrency)
        return consumption


@pytest.mark.parametrize("queue", [OTP_DELIVERY.queue, ACCOUNT_CODES.queue, NOTICES.queue])
async def test_a_notifier_that_has_lost_any_of_its_queues_is_not_ready(keys: Keys, tmp_path: Path, queue: str) -> None:
    bus = Stoppable()
    settings = notifier_settings(keys, notifier_channel="file", otp_log_file=tmp_path / "otp-logs.txt")
    async with app.running(settings, bus) as running:
        ready = running.checks["notifier-consumer"]
        assert await ready()
        await bus.consumptions[queue].stop(grace=1)
        assert not await ready()
    await bus.close()


@pytest.mark.parametrize(
    ("reply", "stage"),
    [
        (f"450 4.2.1 Greylisted: {CODE}", "DATA"),
        (f"550 5.7.1 Spam: {CODE[:5]}-{CODE[5:]}", "DATA"),
        (f"550 5.7.1 Spam: {CODE[:5].lower()} {CODE[5:].lower()}", "DATA"),
        (f"550 5.1.1 {' '.join(CODE)}", "RCPT"),
    ],
)
async def test_no_log_line_no_reason_and_no_report_holds_the_code_or_the_address(
    account_codes: Handler,
    event: CodeRequested,
    mail_sink: MailSink,
    reports: ReportsHeard,
    log_lines: LogLines,
    reply: str,
    stage: Stage,
) -> None:
    mail_sink.refuse(reply, at=stage)

    outcome = await account_codes(delivery(event))

    lines = log_lines()
    places = [repr(outcome), said(lines), *(str(sent.body) for sent in reports.bus.attempts)]
    assert [line["event"] for line in lines if line.get("event_id") == str(event.event_id)] == ["account code delivery"]
    for place in places:
        letters = place.replace("-", "").replace(" ", "").upper()
        assert not [secret for secret in (CODE, event.sealed_code.upper(), "ANN@EXAMPLE.ORG") if secret in letters]
    assert "(hidden)" in places[0]
