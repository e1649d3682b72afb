"""The code in a mail: six digits alone on a line of its text."""

from __future__ import annotations

import email.policy
import re
from email.message import EmailMessage

_ALONE_ON_ITS_LINE = re.compile(r"^[ \t]*([0-9]{6})[ \t]*\r?$", re.MULTILINE)


def code_in_text(text: str) -> str | None:
    """None where the text holds no code: not every mail in an inbox is one of ours."""
    found = _ALONE_ON_ITS_LINE.search(text)
    return found[1] if found else None


def message_of(source: str) -> EmailMessage:
    """Read a mail as it went over the wire (RFC 5322)."""
    return email.message_from_string(source, EmailMessage, policy=email.policy.default)


def code_in_message(message: EmailMessage) -> str | None:
    part = message.get_body(("plain",))
    # get_content undoes the transfer encoding, should a relay have added one.
    return code_in_text(part.get_content()) if part is not None else None
