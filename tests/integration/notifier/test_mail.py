"""The mail that carries a code, as a mail server gets it and a person or a test in an inbox reads it."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from html import unescape

import pytest
from aiosmtplib.email import extract_recipients

from shared.messaging.bus import Done, GiveUp, Handler
from tests.builders import delivery
from tests.composed import Keys
from tests.composed_notifier import running_notifier
from tests.integration.notifier.conftest import Requested
from tests.servers.mail import CODE, MailSink, Received


async def mailed(notifier: Handler, requested: Requested, sink: MailSink, **fields: str) -> Received:
    event = requested(**fields)
    assert await notifier(delivery(event)) == Done()
    return sink.received[-1]


async def test_the_text_part_comes_first_in_seven_bits_with_the_code_alone_on_its_line(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    mail = await mailed(notifier, requested, mail_sink, code="007042")

    text, html = mail.message.iter_parts()
    assert mail.message.get_content_type() == "multipart/alternative"
    assert (text.get_content_type(), text["Content-Transfer-Encoding"]) == ("text/plain", "7bit")
    assert (html.get_content_type(), html["Content-Transfer-Encoding"]) == ("text/html", "7bit")
    # Undecoded, as MailHog shows it.
    raw = text.get_payload(decode=False)
    assert isinstance(raw, str)
    assert CODE.findall(raw) == ["007042"]
    assert "valid for 4 minutes" in raw
    assert "007042" in str(html.get_payload(decode=False))
    assert mail.code == "007042"


async def test_the_headers_name_the_event_and_the_request_and_never_the_code(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    event = requested(code="519273")

    await notifier(delivery(event))

    [mail] = mail_sink.received
    headers = {name: str(value) for name, value in mail.message.items()}
    assert headers["X-Event-Id"] == str(event.event_id)
    assert headers["X-Correlation-Id"] == "request-1"
    assert headers["Message-ID"] == f"<{event.event_id}@login2fa.example>"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Subject"] == "[Login2FA] Your login code"
    assert (headers["From"], headers["To"]) == ("login@login2fa.example", event.email)
    assert (mail.sender, mail.recipients) == ("login@login2fa.example", [event.email])
    assert not [name for name, value in headers.items() if "519273" in value]


async def test_the_envelope_has_the_sender_s_address_alone_and_from_has_its_name_too(
    keys: Keys, requested: Requested, mail_sink: MailSink
) -> None:
    sender = '"Acme, Inc." <login@bücher.example>'
    async with running_notifier(keys, smtp_port=mail_sink.port, mail_from=sender) as notifier:
        mail = await mailed(notifier, requested, mail_sink)

    assert mail.sender == "login@xn--bcher-kva.example"
    assert str(mail.message["From"]) == '"Acme, Inc." <login@xn--bcher-kva.example>'
    assert str(mail.message["Message-ID"]).endswith("@xn--bcher-kva.example>")


async def test_a_mail_is_well_formed_to_who_reads_it_strictly(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    mail = await mailed(notifier, requested, mail_sink)

    assert [part.defects for part in mail.message.walk()] == [[], [], []]
    assert not [value.defects for value in mail.message.values() if value.defects]
    assert mail.message.preamble is None
    assert mail.message.epilogue in (None, "")


async def test_a_repeat_is_the_same_mail_to_the_byte(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    event = requested()

    assert [await notifier(delivery(event, attempt=attempt)) for attempt in (1, 2)] == [Done(), Done()]

    first, second = mail_sink.received
    assert first.message.as_bytes() == second.message.as_bytes()
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert first.code == second.code
    assert parsedate_to_datetime(str(first.message["Date"])) == event.requested_at.replace(microsecond=0)
    assert parsedate_to_datetime(str(second.message["Date"])) == event.requested_at.replace(microsecond=0)
    for one, two in zip(first.message.iter_parts(), second.message.iter_parts(), strict=True):
        assert one.get_content() == two.get_content()


async def test_the_text_part_is_readable_undecoded(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    mail = await mailed(notifier, requested, mail_sink, code="519273")

    text, html = mail.message.iter_parts()
    raw = str(text.get_payload(decode=False))
    assert text["Content-Transfer-Encoding"] == html["Content-Transfer-Encoding"] == "7bit"
    assert raw.isascii()
    assert CODE.findall(raw) == ["519273"]


@pytest.mark.parametrize("part", ["plain", "html"])
async def test_the_greeting_names_nobody(
    notifier: Handler, requested: Requested, mail_sink: MailSink, part: str
) -> None:
    mail = await mailed(notifier, requested, mail_sink)

    body = mail.message.get_body((part,))
    assert body is not None
    assert re.search(r"^(<p[^>]*>)?Hello,(</p>)?\r?$", body.get_content(), re.MULTILINE)


async def test_the_subject_is_the_operators(keys: Keys, requested: Requested, mail_sink: MailSink) -> None:
    settings = {"site_name": "Acme", "mail_subject": "Code for your login"}
    async with running_notifier(keys, smtp_port=mail_sink.port, **settings) as notifier:
        mail = await mailed(notifier, requested, mail_sink)

    assert mail.message["Subject"] == "[Acme] Code for your login"


@pytest.mark.parametrize("site", ["Acme", "Müller & Söhne", "株式会社アクメ"])
async def test_subject_and_both_parts_name_the_site_and_the_code_is_read_undecoded(
    keys: Keys, requested: Requested, mail_sink: MailSink, site: str
) -> None:
    async with running_notifier(keys, smtp_port=mail_sink.port, site_name=site) as notifier:
        mail = await mailed(notifier, requested, mail_sink, code="519273")

    text, html = mail.message.iter_parts()
    assert mail.message["Subject"] == f"[{site}] Your login code"
    assert f"your login code for {site} is:" in mail.text
    assert f"your login code for {site} is:" in unescape(html.get_content())
    assert CODE.findall(str(text.get_payload(decode=False))) == ["519273"]
    assert [part.defects for part in mail.message.walk()] == [[], [], []]


async def test_the_html_says_the_charset_of_its_header_and_that_it_can_be_dark(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    mail = await mailed(notifier, requested, mail_sink)

    html = mail.message.get_body(("html",))
    assert html is not None
    assert html.get_content_charset() == "utf-8"
    assert '<meta charset="utf-8">' in html.get_content()
    assert '<meta name="color-scheme" content="light dark">' in html.get_content()
    # A colour of the letters has one of the ground beside it: a program that darkens only the ground hides no letter.
    for style in re.findall(r"[^-]color: (?!scheme)[^}\"]+", html.get_content()):
        assert "background-color" in style


async def test_a_mail_to_an_international_domain_goes_to_its_ascii_form(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    mail = await mailed(notifier, requested, mail_sink, email="ann@b\u00fccher.org")

    assert mail.recipients == ["ann@xn--bcher-kva.org"]
    assert mail.message["To"] == "ann@xn--bcher-kva.org"


def test_the_library_makes_two_recipients_of_an_address_with_a_comma() -> None:
    """Why an address is checked, and given to the mail server beside the mail: a failure says that it is mended."""
    message = EmailMessage()
    message["To"] = "ann@example.org, evil@example.net"
    assert extract_recipients(message) == ["ann@example.org", "evil@example.net"]


NOT_ONE_ADDRESS = [
    *("ann@example.org, evil@example.net", "ann@example.org,evil@example.net", "ann@example.org evil@example.net"),
    *("group: ann@example.org, evil@example.net;", "group:;", '"ann, evil"@example.org', '"a b"@example.org'),
    *("Ann <ann@example.org>", "<ann@example.org>", "ann(comment)@example.org", "ann@example.org>"),
    *("ann@example.org\r\nBcc: evil@example.net", "ann@example.org\nBcc: evil@example.net", "ann@example.org\r"),
    *("ann@example.org\u2028evil@example.net", "ann\x85@example.org", "ann@example.org\0", "\u00fc@example.org"),
    *("", "ann", "ann@", "@example.org"),
]


async def test_what_is_not_one_address_is_given_up_and_nobody_gets_a_mail(
    notifier: Handler, requested: Requested, mail_sink: MailSink
) -> None:
    for address in NOT_ONE_ADDRESS:
        outcome = await notifier(delivery(requested(email=address)))

        assert outcome == GiveUp("MalformedEvent: malformed auth.otp_requested.v1: email"), ascii(address)
    assert mail_sink.connections == 0
