"""The tests' mail server takes mail as a real one does, and misbehaves on request."""

from __future__ import annotations

from email.message import EmailMessage

import aiosmtplib
import pytest

from tests.servers.mail import HANG_UP, MailSink


def mail(recipient: str, code: str = "123456") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "login@example.org", recipient, "Your code"
    message.set_content(f"Your code is\n\n{code}\n\nIt is valid for 4 minutes.\n")
    message.add_alternative(f"<p>{code}</p>", subtype="html")
    return message


async def send(sink: MailSink, recipient: str, code: str = "123456") -> None:
    await aiosmtplib.send(
        mail(recipient, code), hostname=sink.host, port=sink.port, recipients=[recipient], start_tls=False
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


async def test_a_mail_that_does_not_come_fails_the_test_with_a_count(mail_sink: MailSink) -> None:
    with pytest.raises(AssertionError, match=r"0 of 1 mails to ann@example\.org"):
        await mail_sink.wait_for("ann@example.org", timeout=0.05)
