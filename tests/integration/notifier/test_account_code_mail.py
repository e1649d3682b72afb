"""The mail that carries a code which proves an address. Its form is that of all mails: see test_mail.py."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import get_args

import pytest

from shared.messaging.address_events import CodePurpose
from shared.messaging.bus import Done, Handler
from shared.messaging.topology import ACCOUNT_CODES
from tests.builders import code_requested, delivery
from tests.composed import Keys
from tests.composed_notifier import running_notifier
from tests.servers.mail import CODE, MailSink, Received

SUBJECTS = {
    "verify": "Confirm your mail address",
    "change": "Confirm your new mail address",
    "reset": "Your code for a new password",
    "register": "Finish your registration",
    "invite": "You are invited",
    "test": "Test of the mails",
}
each_purpose = pytest.mark.parametrize("purpose", get_args(CodePurpose))


@pytest.fixture
async def account_codes(keys: Keys, mail_sink: MailSink) -> AsyncIterator[Handler]:
    settings = {"smtp_port": mail_sink.port, "site_name": "Acme"}
    async with running_notifier(keys, queue=ACCOUNT_CODES.queue, **settings) as handler:
        yield handler


async def mailed(
    handler: Handler, keys: Keys, sink: MailSink, purpose: CodePurpose, *, code: str = "K7X9M2Q4TZ", lives: float = 600
) -> Received:
    event = code_requested(keys.mailed_sealer, code=code, purpose=purpose, lives=lives)
    assert await handler(delivery(event)) == Done()
    return sink.received[-1]


@each_purpose
async def test_the_text_part_comes_first_in_seven_bits_with_the_code_in_two_halves_alone_on_its_line(
    account_codes: Handler, keys: Keys, mail_sink: MailSink, purpose: CodePurpose
) -> None:
    mail = await mailed(account_codes, keys, mail_sink, purpose)

    text, html = mail.message.iter_parts()
    assert (text.get_content_type(), text["Content-Transfer-Encoding"]) == ("text/plain", "7bit")
    assert (html.get_content_type(), html["Content-Transfer-Encoding"]) == ("text/html", "7bit")
    # Undecoded, as MailHog shows it.
    raw = str(text.get_payload(decode=False))
    assert raw.isascii()
    assert [line for line in raw.splitlines() if "K7X9M" in line] == ["K7X9M-2Q4TZ"]
    assert str(html.get_payload(decode=False)).count("K7X9M-2Q4TZ") == 1
    assert [part.defects for part in mail.message.walk()] == [[], [], []]


async def test_a_code_of_digits_alone_is_no_login_code(account_codes: Handler, keys: Keys, mail_sink: MailSink) -> None:
    mail = await mailed(account_codes, keys, mail_sink, "verify", code="0123456789")

    assert mail.account_code == "0123456789"
    assert not CODE.search(mail.text)


@each_purpose
async def test_the_headers_say_what_the_mail_is_for_and_never_the_code(
    account_codes: Handler, keys: Keys, mail_sink: MailSink, purpose: CodePurpose
) -> None:
    mail = await mailed(account_codes, keys, mail_sink, purpose)

    assert mail.message["Subject"] == f"[Acme] {SUBJECTS[purpose]}"
    assert mail.message["X-Purpose"] == purpose
    for part in mail.message.walk():
        letters = re.sub(r"[^0-9A-Z]", "", str(part.items()).upper())
        assert "K7X9M2Q4TZ" not in letters


@each_purpose
async def test_both_parts_name_the_site_and_say_how_long_the_code_lives_and_hold_no_link_and_no_name(
    account_codes: Handler, keys: Keys, mail_sink: MailSink, purpose: CodePurpose
) -> None:
    mail = await mailed(account_codes, keys, mail_sink, purpose)

    for part in mail.message.iter_parts():
        content = part.get_content()
        assert "Hello," in content
        assert "at Acme:" in content
        assert "valid for 10 minutes" in content
        assert "you need do nothing: without this code nothing happens" in content
        assert not re.search(r"https?:|href|ann@|\bAnn\b", content)


async def test_whoever_did_not_ask_for_a_new_password_reads_that_the_old_one_still_works(
    account_codes: Handler, keys: Keys, mail_sink: MailSink
) -> None:
    mail = await mailed(account_codes, keys, mail_sink, "reset")

    assert "Your password still works." in mail.text


async def test_an_invitation_says_its_life_in_days(account_codes: Handler, keys: Keys, mail_sink: MailSink) -> None:
    mail = await mailed(account_codes, keys, mail_sink, "invite", lives=3 * 86400)

    assert "It is valid for 3 days and for one use." in mail.text


async def test_a_repeat_is_the_same_mail_to_the_byte(account_codes: Handler, keys: Keys, mail_sink: MailSink) -> None:
    event = code_requested(keys.mailed_sealer)

    for attempt in (1, 2):
        assert await account_codes(delivery(event, attempt=attempt)) == Done()

    first, second = mail_sink.received
    assert first.message.as_bytes() == second.message.as_bytes()
    assert first.message["Message-ID"] == f"<{event.event_id}@login2fa.example>"
