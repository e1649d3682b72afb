"""What the notifier reports of each delivery, and that a delivery never depends on its report."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from cryptography.fernet import Fernet
from prometheus_client import REGISTRY

from services.notifier import report
from shared.messaging.bus import BusUnavailable, Done, GiveUp, Handler, Message, Rejected, Retry, Unroutable
from shared.sealing import Sealer
from tests.builders import delivery, otp_requested
from tests.composed import Keys
from tests.composed_notifier import ReportsHeard, running_notifier
from tests.integration.notifier.conftest import Requested
from tests.polling import eventually
from tests.servers.mail import MailSink


@pytest.fixture
def reports() -> ReportsHeard:
    return ReportsHeard()


@pytest.fixture
async def notifier(keys: Keys, mail_sink: MailSink, reports: ReportsHeard) -> AsyncIterator[Handler]:
    async with running_notifier(keys, reports, smtp_port=mail_sink.port) as handler:
        yield handler


def lost() -> float:
    return REGISTRY.get_sample_value("login2fa_delivery_reports_total", {"result": "lost"}) or 0


async def test_a_delivered_code_is_reported_with_its_challenge_and_the_request_it_is_about(
    notifier: Handler, requested: Requested, reports: ReportsHeard
) -> None:
    event = requested()

    assert await notifier(delivery(event, attempt=3)) == Done()

    (said,) = reports.all
    assert (said.challenge_id, said.request_event_id) == (event.challenge_id, event.event_id)
    assert (said.outcome, said.attempt) == ("delivered", 3)
    assert reports.bus.attempts[0].correlation_id == "request-1"


@pytest.mark.parametrize(
    ("reply", "word", "outcome"), [("450 Busy", "deferred", Retry), ("550 Nobody", "given_up", GiveUp)]
)
async def test_every_attempt_that_fails_is_reported(
    notifier: Handler,
    requested: Requested,
    reports: ReportsHeard,
    mail_sink: MailSink,
    reply: str,
    word: str,
    outcome: type,
) -> None:
    mail_sink.refuse(reply)
    event = requested()

    outcomes = [await notifier(delivery(event, attempt=attempt)) for attempt in (1, 2)]

    assert [type(each) for each in outcomes] == [outcome, outcome]
    assert [(said.outcome, said.attempt) for said in reports.all] == [(word, 1), (word, 2)]


async def test_an_expired_code_is_reported(notifier: Handler, requested: Requested, reports: ReportsHeard) -> None:
    assert await notifier(delivery(requested(lives=-1))) == Done()

    assert [said.outcome for said in reports.all] == ["expired"]


async def test_a_code_whose_last_attempt_fails_is_reported_as_expired(
    notifier: Handler, requested: Requested, reports: ReportsHeard, mail_sink: MailSink
) -> None:
    mail_sink.refuse("450 Busy")

    assert await notifier(delivery(requested(lives=20), attempt=4)) == Done()  # the next one would be in 30 s

    assert [said.outcome for said in reports.all] == ["expired"]


async def test_what_can_not_be_opened_or_addressed_is_reported_as_given_up(
    notifier: Handler, requested: Requested, reports: ReportsHeard
) -> None:
    for event in (otp_requested(Sealer([Fernet.generate_key().decode()])), requested(email="a@b.org, c@d.org")):
        assert isinstance(await notifier(delivery(event)), GiveUp)
        assert (reports.all[-1].outcome, reports.all[-1].request_event_id) == ("given_up", event.event_id)


async def test_of_what_is_no_request_nothing_is_reported(
    notifier: Handler, requested: Requested, reports: ReportsHeard
) -> None:
    assert isinstance(await notifier(delivery(requested(), body=b"not JSON")), GiveUp)

    assert reports.bus.attempts == []


async def test_a_report_holds_neither_code_nor_address_nor_what_a_mail_server_said(
    notifier: Handler, requested: Requested, reports: ReportsHeard, mail_sink: MailSink
) -> None:
    mail_sink.refuse("550 No ann@example.org here, 519273")

    await notifier(delivery(requested(code="519273", email="ann@example.org")))

    (sent,) = reports.bus.attempts
    said = re.sub(rb'"([0-9a-f-]{36}|[0-9-]{10}T[^"]+)"', b"", sent.body)  # ids and moments hold any digits
    assert b"given_up" in said
    assert not [word for word in (b"519273", b"ann", b"example", b"550") if word in said]


async def test_the_report_is_confirmed_before_the_delivery_may_be_acknowledged(
    notifier: Handler, requested: Requested, reports: ReportsHeard, mail_sink: MailSink
) -> None:
    confirmed = asyncio.Event()

    async def unconfirmed(_message: Message) -> None:
        await confirmed.wait()

    reports.bus.before = unconfirmed
    handled = asyncio.ensure_future(notifier(delivery(requested())))
    await eventually(lambda: reports.bus.attempts)

    assert len(mail_sink.received) == 1
    assert not handled.done()
    confirmed.set()
    assert await handled == Done()


@pytest.mark.parametrize("trouble", [BusUnavailable, Unroutable, Rejected])
async def test_a_mail_is_not_sent_twice_because_its_report_was_lost(
    notifier: Handler,
    requested: Requested,
    reports: ReportsHeard,
    mail_sink: MailSink,
    trouble: type[Exception],
) -> None:
    async def refuse(_message: Message) -> None:
        raise trouble("by a test")

    reports.bus.before = refuse
    before = lost()

    assert await notifier(delivery(requested())) == Done()

    assert (len(mail_sink.received), reports.all, lost() - before) == (1, [], 1)


async def test_a_bus_that_does_not_answer_is_left_in_time_and_holds_up_one_delivery_only(
    notifier: Handler, requested: Requested, reports: ReportsHeard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "REPORT_SECONDS", 0.05)
    monkeypatch.setattr(report, "SILENCE_SECONDS", 3600)  # longer than five deliveries take on any machine

    async def never(_message: Message) -> None:
        await asyncio.Event().wait()

    reports.bus.before = never
    before = lost()

    async with asyncio.timeout(20):
        assert [await notifier(delivery(requested())) for _ in range(5)] == [Done()] * 5

    assert (len(reports.bus.attempts), lost() - before) == (1, 5)


async def test_reports_go_on_after_the_silence(
    notifier: Handler, requested: Requested, reports: ReportsHeard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "SILENCE_SECONDS", 0)

    async def refuse(_message: Message) -> None:
        raise BusUnavailable("by a test")

    reports.bus.before = refuse
    await notifier(delivery(requested()))
    reports.bus.before = None

    await notifier(delivery(requested()))

    assert [said.outcome for said in reports.all] == ["delivered"]
