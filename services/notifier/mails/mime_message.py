"""The form of all mails: 7bit where the text is ASCII, so that an inbox that decodes nothing shows the code."""

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

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.notifier.channel import Mail
from services.notifier.mailbox import Mailbox
from services.notifier.mails.style import SHIPPED_STYLE, Style
from shared.messaging.address_events import CodePurpose

_TEMPLATES = Path(__file__).parent

# RFC 5322, RFC 2046; a template is 20 times faster than the library `email`. RFC 3834: no vacation answers.
_MAIL = """\
From: {sender}
To: {recipient}
Subject: {subject}
Date: {date}
{reply_to}Message-ID: <{event_id}@{domain}>
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
Content-Transfer-Encoding: {html_encoding}

{html}

--{boundary}--
"""

# The header X-Purpose, by which an inbox of a test knows the mail with the code that it waits for.
Purpose = Literal["login", "notice"] | CodePurpose

_NOT_FOR_A_HEADER = re.compile(r"[^ -~]")


# RFC 5322 section 2.1.1
_LONGEST_LINE = 998
_ENCODED_LINE = 76  # RFC 2047 section 2


class MimeMessage:
    def __init__(self, name: str, *, sender: Mailbox, site: str, style: Style = SHIPPED_STYLE) -> None:
        self._sender = sender
        self._site = site
        self._style = style
        self._reply_to = f"Reply-To: {_in_a_header(style.reply_to.header)}\n" if style.reply_to else ""
        plain, markup = _environment(style, autoescape=False), _environment(style, autoescape=True)
        self._subject = plain.select_template([f"{name}.subject.txt.j2", "subject.txt.j2"])
        self._text = plain.get_template(f"{name}.txt.j2")
        self._html = markup.get_template(f"{name}.html.j2")

    def compose(
        self, mail: Mail, *, purpose: Purpose, subject: str, date: datetime, values: Mapping[str, object]
    ) -> bytes:
        """The same event gives the same mail each time: same `Message-ID`, same date."""
        # The subject's template gets no code: servers log headers.
        common = {"site": self._site, "subject": subject, "language": self._style.language, "purpose": purpose}
        inside = {**common, **values, "text": self._style.text}
        text, encoding = _in_ascii(self._text.render(inside))
        html, html_encoding = _in_ascii(self._html.render(inside))
        composed = _MAIL.format(
            sender=_in_a_header(self._sender.header),
            recipient=_in_a_header(mail.email),
            subject=_subject(self._subject.render(common)),
            reply_to=self._reply_to,
            date=format_datetime(date),
            event_id=_in_a_header(mail.event_id),
            domain=_in_a_header(self._sender.domain),
            correlation_id=_in_a_header(mail.correlation_id),
            purpose=purpose,
            boundary=f"=_{_in_a_header(mail.event_id)}",  # occurs in neither part
            encoding=encoding,
            text=text,
            html=html,
            html_encoding=html_encoding,
        )
        return composed.replace("\n", "\r\n").encode("ascii")


def _in_ascii(text: str) -> tuple[str, str]:
    """Other scripts and lines that are too long need an encoding; the code stays legible in it."""
    if text.isascii() and all(len(line) <= _LONGEST_LINE for line in text.split("\n")):
        return text, "7bit"
    return encodestring(text.encode()).decode("ascii"), "quoted-printable"


@functools.lru_cache(256)
def _subject(text: str) -> str:
    """One line, encoded and folded if not ASCII (RFC 2047). Subjects are made of settings and constants alone."""
    line = " ".join(text.split())
    if line.isascii():
        return _in_a_header(line)
    return Header(line, "utf-8", maxlinelen=_ENCODED_LINE, header_name="Subject").encode()


@functools.cache
def _environment(style: Style, *, autoescape: bool) -> ImmutableSandboxedEnvironment:
    own = [style.templates / style.language] if style.templates else []
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([*own, _TEMPLATES]),
        undefined=StrictUndefined,
        autoescape=autoescape,
        auto_reload=False,  # a file that changes later was not examined
    )


def _in_a_header(value: str) -> str:
    """Prevents header injection: a line break would begin another header."""
    return _NOT_FOR_A_HEADER.sub("", value)
