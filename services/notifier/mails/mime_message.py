"""The form of all mails: ASCII text and HTML parts in 7bit, so that an inbox that decodes nothing shows the code."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from pathlib import Path
from quopri import encodestring
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.notifier.channel import Mail
from services.notifier.mailbox import Mailbox
from shared.messaging.address_events import CodePurpose

_TEMPLATES = Path(__file__).parent

# RFC 5322, RFC 2046; a template is 20 times faster than the library `email`. RFC 3834: no vacation answers.
_MAIL = """\
From: {sender}
To: {recipient}
Subject: {subject}
Date: {date}
Message-ID: <{event_id}@{domain}>
Auto-Submitted: auto-generated
X-Event-Id: {event_id}
X-Correlation-Id: {correlation_id}
X-Purpose: {purpose}
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="{boundary}"

--{boundary}
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: {encoding}

{text}

--{boundary}
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: 7bit

{html}

--{boundary}--
"""

# The header X-Purpose, by which an inbox of a test knows the mail with the code that it waits for.
Purpose = Literal["login", "notice"] | CodePurpose

_NOT_FOR_A_HEADER = re.compile(r"[^ -~]")


class MimeMessage:
    def __init__(self, name: str, *, sender: Mailbox, site: str) -> None:
        self._sender = sender
        self._site = site
        self._text = _template(f"{name}.txt.j2", autoescape=False)
        self._html = _template(f"{name}.html.j2", autoescape=True)

    def compose(
        self, mail: Mail, *, purpose: Purpose, subject: str, date: datetime, values: Mapping[str, object]
    ) -> bytes:
        """The same event gives the same mail each time: same `Message-ID`, same date."""
        text, encoding = _in_ascii(self._text.render(values, site=self._site))
        composed = _MAIL.format(
            sender=_in_a_header(self._sender.header),
            recipient=_in_a_header(mail.email),
            subject=_subject(self._site, subject),
            date=format_datetime(date),
            event_id=_in_a_header(mail.event_id),
            domain=_in_a_header(self._sender.domain),
            correlation_id=_in_a_header(mail.correlation_id),
            purpose=purpose,
            boundary=f"=_{_in_a_header(mail.event_id)}",  # occurs in neither part
            encoding=encoding,
            text=text,
            html=self._html.render(values, site=self._site).encode("ascii", "xmlcharrefreplace").decode(),
        )
        return composed.replace("\n", "\r\n").encode("ascii")


def _in_ascii(text: str) -> tuple[str, str]:
    """Only a site name that is not ASCII needs an encoding; the code stays legible in it."""
    if text.isascii():
        return text, "7bit"
    return encodestring(text.encode()).decode("ascii"), "quoted-printable"


@functools.cache
def _subject(site: str, subject: str) -> str:
    """Encoded and folded if not ASCII (RFC 2047). The cache is small: both values are settings or constants."""
    whole = f"[{site}] {subject}"
    return _in_a_header(whole) if whole.isascii() else Header(whole, "utf-8").encode()


@functools.cache
def _template(file: str, *, autoescape: bool) -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=autoescape,  # noqa: S701 - on where it is HTML
    )
    return environment.get_template(file)


def _in_a_header(value: str) -> str:
    """Prevents header injection: a line break would begin another header."""
    return _NOT_FOR_A_HEADER.sub("", value)
