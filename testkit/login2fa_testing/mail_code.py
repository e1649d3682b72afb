"""The code in a mail, alone on a line of its text; the header X-Purpose says what it is for."""

from __future__ import annotations

import email.policy
import re
from dataclasses import dataclass, field
from email.message import EmailMessage

_LOGIN_CODE = re.compile(r"^[ \t]*([0-9]{6})[ \t]*\r?$", re.MULTILINE)
_ACCOUNT_CODE = re.compile(r"^[ \t]*([0-9A-Z]{5})-([0-9A-Z]{5})[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class MailedCode:
    message_id: str
    purpose: str
    code: str = field(repr=False)


def mailed_code(source: str) -> MailedCode | None:
    """Read a mail as it went over the wire (RFC 5322). None if it has no code: not every mail in an inbox is ours."""
    message = email.message_from_string(source, EmailMessage, policy=email.policy.default)
    purpose = str(message["X-Purpose"] or "")
    part = message.get_body(("plain",))
    if not purpose or part is None:
        return None
    # get_content undoes the transfer encoding, should a relay have added one.
    found = (_LOGIN_CODE if purpose == "login" else _ACCOUNT_CODE).search(part.get_content())
    return MailedCode(str(message["Message-ID"] or ""), purpose, "".join(found.groups())) if found else None
