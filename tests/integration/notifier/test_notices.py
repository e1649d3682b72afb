"""Notices as the notifier sends them: beside the codes, with no code and no link, and with the ends of any delivery."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client import REGISTRY

from services.notifier import app
from services.notifier.mails.style import words
from shared.messaging.bus import Done, GiveUp, Handler, Retry
from shared.messaging.memory import MemoryBus
from shared.messaging.notice_events import AuthNoticeRequested, NoticeWord
from shared.messaging.topology import NOTICES, OTP_OUTCOMES
from tests.builders import delivery, message, notice_requested, otp_requested
from tests.composed import Keys, notifier_settings
from tests.composed_notifier import running_notifier
from tests.polling import eventually
from tests.recording import Recorder
from tests.servers.mail import SILENCE, MailSink


@pytest.fixture
async def notices(keys: Keys, mail_sink: MailSink) -> AsyncIterator[Handler]:
    async with running_notifier(keys, queue=NOTICES.queue, smtp_port=mail_sink.port) as handler:
        yield handler


@pytest.mark.parametrize("word", get_args(NoticeWord))
async def test_a_notice_is_one_mail_that_says_what_happened_and_what_to_do(
    notices: Handler, mail_sink: MailSink, word: NoticeWord
) -> None:
    event = notice_requested(notice=word)

    for _ in range(2):
        assert await notices(delivery(event)) == Done()

    first, again = mail_sink.received
    subject, happened, advice = (words("en")[f"notice.{word}.{part}"] for part in ("subject", "happened", "advice"))
    assert first.recipients == [event.email]
    assert first.message["Subject"] == f"[Login2FA] {subject}"
    assert happened in first.text
    assert advice in first.text
    whole = first.message.as_string()
    assert not re.search(r"https?:|href|\b\d{6}\b", first.text)
    assert "href" not in whole
    assert first.message["Message-ID"] == again.message["Message-ID"]
    assert str(event.event_id) in first.message["Message-ID"]


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (9, "to your account. 9 are left.\n"),
        (3, "to your account. 3 are left: make new ones soon.\n"),
        (1, "to your account. One is left: make new ones soon.\n"),
        (0, "to your account. None is left: make new ones soon.\n"),
    ],
)
async def test_a_notice_of_a_used_recovery_code_says_how_many_are_left(
    notices: Handler, mail_sink: MailSink, left: int, says: str
) -> None:
    asked = notice_requested(notice="recovery_code_used").model_dump()
    event = AuthNoticeRequested(**asked, recovery_codes_left=left)

    assert await notices(delivery(event)) == Done()

    assert says in mail_sink.received[0].text.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [("450 Busy", Retry), ("550 No", GiveUp)],
)
async def test_a_notice_has_the_ends_that_a_code_has(
    notices: Handler, mail_sink: MailSink, reply: str, outcome: type[Retry | GiveUp]
) -> None:
    mail_sink.refuse(reply)

    ended = await notices(delivery(notice_requested()))

    assert isinstance(ended, outcome)
    assert reply in ended.reason


async def test_a_notice_that_is_too_late_is_dropped(notices: Handler, mail_sink: MailSink) -> None:
    event = notice_requested()

    assert await notices(delivery(event.model_copy(update={"expires_at": event.occurred_at}))) == Done()

    assert mail_sink.received == []
    assert REGISTRY.get_sample_value("login2fa_notices_total", {"outcome": "expired"})


async def test_what_is_no_address_is_given_up(notices: Handler, mail_sink: MailSink) -> None:
    outcome = await notices(delivery(notice_requested(email="a@example.org, b@example.org")))

    assert outcome == GiveUp("MalformedEvent: malformed users.notice_requested.v1: email")
    assert mail_sink.received == []


async def test_codes_do_not_wait_behind_notices(keys: Keys, mail_sink: MailSink) -> None:
    bus = MemoryBus()
    await bus.consume(OTP_OUTCOMES.queue, Recorder(), concurrency=1)
    mail_sink.refuse(SILENCE, recipient="@stuck.example")
    settings = notifier_settings(keys, smtp_port=mail_sink.port, smtp_timeout=60)
    async with asyncio.timeout(30), app.running(settings, bus):  # else a code that waits makes the test wait
        stuck = [bus.publish(message(notice_requested(email=f"p{number}@stuck.example"))) for number in range(20)]
        waiting = [asyncio.create_task(each) for each in stuck]
        await eventually(lambda: mail_sink.connections > 0)

        await bus.publish(message(otp_requested(keys.otp_sealer)))

        assert [mail.recipients for mail in mail_sink.received] == [["ann@example.org"]]
        for task in waiting:
            task.cancel()
    await bus.close()


async def test_in_files_notices_are_beside_the_codes_and_not_among_them(keys: Keys, tmp_path: Path) -> None:
    path = tmp_path / "otp-logs.txt"
    async with running_notifier(keys, queue=NOTICES.queue, notifier_channel="file", otp_log_file=path) as handler:
        assert await handler(delivery(notice_requested())) == Done()

    assert (tmp_path / "otp-logs.txt.notices").read_text() == "ann@example.org/password_changed\n"
    assert not path.exists()


async def test_a_notice_is_logged_with_its_end_and_without_the_address(
    notices: Handler, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    await notices(delivery(notice_requested()))

    [line] = [line for line in log_lines() if line["event"] == "notice delivery"]
    assert line["outcome"] == "delivered"
    assert "ann@example.org" not in str(log_lines())
