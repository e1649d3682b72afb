"""MAIL_FROM is read once: what stands in the envelope, in From and in Message-ID is of one mailbox."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.notifier.channel import Delivery
from services.notifier.mailbox import Mailbox
from services.notifier.mails.login_code import LoginCodeMail


@pytest.mark.parametrize(
    ("written", "address", "name"),
    [
        ("login@example.com", "login@example.com", ""),
        ("<login@example.com>", "login@example.com", ""),
        ("Acme <login@example.com>", "login@example.com", "Acme"),
        ("Acme Inc. <login@example.com>", "login@example.com", "Acme Inc."),
        ('"Acme, Inc." <login@example.com>', "login@example.com", "Acme, Inc."),
        (r'"The \"A\" <x>" <login@example.com>', "login@example.com", 'The "A" <x>'),
        ("Müller & Söhne <login@example.com>", "login@example.com", "Müller & Söhne"),
        ("login@bücher.example", "login@xn--bcher-kva.example", ""),
        ("login@localhost", "login@localhost", ""),
        ("login@mail.local", "login@mail.local", ""),
    ],
)
def test_a_mailbox_has_an_address_in_ascii_and_perhaps_a_name(written: str, address: str, name: str) -> None:
    mailbox = Mailbox.parse(written)
    assert (mailbox.address, mailbox.name) == (address, name)
    assert mailbox.domain == address.partition("@")[2]
    assert Mailbox.parse(str(mailbox)) == mailbox


@pytest.mark.parametrize("name", ["Acme, Inc. <login@example.com>", "Acme: <login@example.com>", "A@B <l@example.com>"])
def test_a_name_that_would_be_read_as_several_mailboxes_must_be_quoted(name: str) -> None:
    with pytest.raises(ValueError, match="it must be quoted"):
        Mailbox.parse(name)


NAMES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=64).map(str.strip)


@given(name=NAMES)
@example(name="株式会社" * 16)
def test_a_mail_is_from_one_mailbox_whatever_its_name_holds(name: str) -> None:
    now = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    delivery = Delivery(
        event_id="e", correlation_id="c", email="dave@test.com", code="493817",
        requested_at=now, expires_at=now + timedelta(minutes=4),
    )  # fmt: skip
    sender = Mailbox("login@example.com", name)

    composed = LoginCodeMail(sender=sender, subject="Your login code", site="Acme").compose(delivery)
    mail = email.message_from_bytes(composed, policy=email.policy.default)

    (sent_by,) = mail["From"].addresses
    assert sent_by.addr_spec == "login@example.com"
    # This parser keeps the blanks between two encoded words, which RFC 2047 leaves out.
    assert "".join(sent_by.display_name.split()) == "".join(name.split())
    assert not mail["From"].defects
    assert mail["Message-ID"] == "<e@example.com>"
    assert all(len(word) <= 75 for word in sender.header.split() if word.startswith("=?"))  # RFC 2047 section 2
