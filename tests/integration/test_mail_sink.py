"""The tests' mail server takes mail as a real one does, and misbehaves on request."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from tests.servers.mail import HANG_UP, SILENCE, MailSink, Stage
from tests.servers.misbehaving_smtp import STAGES

PROJECT = Path(__file__).parents[2]


def mail(recipient: str, code: str = "123456") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "login@example.org", recipient, "Your code"
    message.set_content(f"Your code is\n\n{code}\n\nIt is valid for 4 minutes.\n")
    message.add_alternative(f"<p>{code}</p>", subtype="html")
    return message


async def send(sink: MailSink, recipient: str, code: str = "123456", *, patience: float = 10) -> None:
    await aiosmtplib.send(
        mail(recipient, code),
        hostname=sink.host,
        port=sink.port,
        recipients=[recipient],
        start_tls=False,
        timeout=patience,
    )


async def test_a_mail_is_kept_with_its_envelope_and_its_code(mail_sink: MailSink) -> None:
    await send(mail_sink, "ann@example.org", "111111")
    await send(mail_sink, "bob@example.org", "222222")
    await send(mail_sink, "ann@example.org", "333333")

    first, second = await mail_sink.wait_for("ann@example.org", 2)
    assert (first.sender, first.recipients, first.peer[0]) == (
        "login@example.org",
        ["ann@example.org"],
        "127.0.0.1",
    )
    assert second.message["Subject"] == "Your code"
    assert await mail_sink.code_for("ann@example.org") == "111111"
    assert await mail_sink.code_for("ann@example.org", 2) == "333333"


async def test_a_recipient_can_be_refused_a_number_of_times(mail_sink: MailSink) -> None:
    mail_sink.refuse("450 4.2.1 Mailbox busy", recipient="ann@example.org", times=1)

    await send(mail_sink, "bob@example.org")
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await send(mail_sink, "ann@example.org")
    assert refused.value.recipients[0].code == 450
    await send(mail_sink, "ann@example.org")

    assert [len(mail_sink.mails_to(f"{name}@example.org")) for name in ("ann", "bob")] == [1, 1]


async def test_a_refused_message_is_not_kept(mail_sink: MailSink) -> None:
    mail_sink.refuse("554 5.7.1 Spam", at="DATA")

    with pytest.raises(aiosmtplib.SMTPDataError):
        await send(mail_sink, "ann@example.org")
    assert not mail_sink.received

    mail_sink.accept()
    await send(mail_sink, "ann@example.org")
    assert len(mail_sink.received) == 1


async def test_a_message_can_be_kept_while_its_sender_never_learns_of_it(mail_sink: MailSink) -> None:
    mail_sink.refuse(HANG_UP, at="DATA", times=1)

    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await send(mail_sink, "ann@example.org")

    assert len(mail_sink.mails_to("ann@example.org")) == 1


@pytest.mark.parametrize("stage", STAGES)
async def test_any_reply_can_be_given_at_any_stage(mail_sink: MailSink, stage: Stage) -> None:
    mail_sink.refuse("454 4.7.0 Not now", at=stage)

    with pytest.raises(aiosmtplib.SMTPException) as refused:
        await send(mail_sink, "ann@example.org")

    assert "454" in repr(refused.value)
    assert not mail_sink.received
    mail_sink.accept()
    await send(mail_sink, "ann@example.org")
    assert len(mail_sink.received) == 1


@pytest.mark.parametrize("fault", [HANG_UP, SILENCE])
@pytest.mark.parametrize("stage", STAGES)
async def test_a_connection_can_end_or_fall_silent_at_any_stage_and_only_after_the_dot_is_the_message_kept(
    mail_sink: MailSink, stage: Stage, fault: str
) -> None:
    mail_sink.refuse(fault, at=stage, times=1)
    unknown = aiosmtplib.SMTPTimeoutError if fault == SILENCE else (aiosmtplib.SMTPServerDisconnected, OSError)

    with pytest.raises(unknown):
        await send(mail_sink, "ann@example.org", patience=0.2 if fault == SILENCE else 10)

    assert len(mail_sink.received) == (stage == "DATA")
    assert ("." in mail_sink.heard) == (stage == "DATA")
    await send(mail_sink, "ann@example.org")


async def test_a_late_reply_is_late_and_the_message_is_kept_at_once(mail_sink: MailSink) -> None:
    mail_sink.be_late(0.3, times=1)
    began = time.monotonic()

    sending = asyncio.ensure_future(send(mail_sink, "ann@example.org"))
    await mail_sink.wait_for("ann@example.org")
    assert not sending.done()
    await sending

    assert time.monotonic() - began >= 0.3


async def test_a_slow_server_takes_its_time_before_each_reply(mail_sink: MailSink) -> None:
    mail_sink.be_slow(0.05)
    began = time.monotonic()

    await send(mail_sink, "ann@example.org")

    # The greeting, EHLO, MAIL, RCPT, DATA and the dot.
    assert time.monotonic() - began >= 6 * 0.05


async def test_one_recipient_can_meet_with_silence_while_others_get_their_mail(mail_sink: MailSink) -> None:
    mail_sink.refuse(SILENCE, recipient="ann@example.org")
    waiting = asyncio.ensure_future(send(mail_sink, "ann@example.org"))

    await send(mail_sink, "bob@example.org")

    assert not waiting.done()
    waiting.cancel()


async def test_a_mail_that_does_not_come_fails_the_test_with_a_count(mail_sink: MailSink) -> None:
    with pytest.raises(AssertionError, match=r"0 of 1 mails to ann@example\.org"):
        await mail_sink.wait_for("ann@example.org", timeout=0.05)


async def test_by_hand_it_takes_faults_as_options_and_as_typed_lines_and_prints_no_code() -> None:
    command = [sys.executable, "-m", "tests.servers.mail", "--refuse", "450 Try later", "--at", "MAIL"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=PROJECT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        sink = MailSink(port=int((await process.stdout.readline()).rpartition(b":")[2]))
        with pytest.raises(aiosmtplib.SMTPResponseException, match="Try later"):
            await send(sink, "ann@example.org")

        process.stdin.write(b'accept\nrefuse "554 5.7.1 Spam" --recipient bob@example.org\nnonsense\n')
        assert b"nonsense" in await process.stdout.readline()

        with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
            await send(sink, "bob@example.org")
        await send(sink, "ann@example.org", "519273")
        process.send_signal(signal.SIGINT)
        said, _ = await process.communicate()
        assert process.returncode == 0
        assert b"ann@example.org" in said
        assert b"Your code" in said
        assert b"519273" not in said
    finally:
        if process.returncode is None:
            process.kill()
