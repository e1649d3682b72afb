"""LOGIN2FA_INBOX names an inbox in one word."""

from __future__ import annotations

from pathlib import Path

import pytest

from login2fa_testing import FileInbox, Inbox, InboxUnreachable, MailHogInbox, MailpitInbox, inbox_at


@pytest.mark.parametrize(
    ("address", "kind", "place"),
    [
        ("mailhog:http://127.0.0.1:8025", MailHogInbox, "MailHog at http://127.0.0.1:8025"),
        ("mailpit:https://inbox.example.org/", MailpitInbox, "Mailpit at https://inbox.example.org/"),
        ("file:.local/otp-logs.txt", FileInbox, ".local/otp-logs.txt"),
    ],
)
def test_the_kind_comes_before_the_place(address: str, kind: type[Inbox], place: str) -> None:
    inbox = inbox_at(address)

    assert isinstance(inbox, kind)
    assert inbox.place == place  # type: ignore[attr-defined] # all three have it


@pytest.mark.parametrize("address", ["http://127.0.0.1:8025", "imap:mail.example.org", "mailhog:", "file", ""])
def test_another_form_is_refused_with_the_three_that_there_are(address: str) -> None:
    with pytest.raises(ValueError, match=r"names no inbox: write mailhog:http.*mailpit:http.*file:/"):
        inbox_at(address)


def test_the_password_of_an_inbox_is_in_no_message(tmp_path: Path) -> None:
    with pytest.raises(InboxUnreachable) as unreachable:
        inbox_at("mailpit:http://ann:horse-battery@127.0.0.1:1").codes("ann@example.org")

    assert "Mailpit at http://127.0.0.1:1 does not answer" in str(unreachable.value)
    assert "horse-battery" not in str(unreachable.value)
