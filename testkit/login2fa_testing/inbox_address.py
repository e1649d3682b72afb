"""An inbox named in one word: `mailhog:http://127.0.0.1:8025`, `mailpit:http://...`, `file:.local/otp-logs.txt`."""

from __future__ import annotations

from collections.abc import Callable

from login2fa_testing.inbox import Inbox
from login2fa_testing.mailhog import MailHogInbox
from login2fa_testing.mailpit import MailpitInbox
from login2fa_testing.otp_file import FileInbox

_KINDS: dict[str, Callable[[str], Inbox]] = {"mailhog": MailHogInbox, "mailpit": MailpitInbox, "file": FileInbox}


def inbox_at(address: str) -> Inbox:
    """Raises `ValueError` for any other form."""
    kind, _, place = address.partition(":")
    if kind not in _KINDS or not place:
        raise ValueError(
            f"{address!r} names no inbox: write mailhog:http://127.0.0.1:8025, mailpit:http://127.0.0.1:8025 or "
            "file:/path/to/otp-logs.txt."
        )
    return _KINDS[kind](place)
