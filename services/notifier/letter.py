"""What every mail of ours has: one recipient, headers that name the event, a 7-bit text part, then an HTML part."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.notifier.channel import Delivery, Notice
from services.notifier.mailbox import Mailbox

_TEMPLATES = Path(__file__).parent / "templates"

# The whole mail (RFC 5322, RFC 2046), as the library `email` would write it, in a twentieth of the time.
# Auto-Submitted: RFC 3834, no vacation answers.
_MAIL = """\
From: {sender}
To: {recipient}
Subject: {subject}
Date: {date}
Message-ID: <{event_id}@{domain}>
Auto-Submitted: auto-generated
X-Event-Id: {event_id}
X-Correlation-Id: {correlation_id}
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="{boundary}"

--{boundary}
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 7bit

{text}

--{boundary}
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: 7bit

{html}

--{boundary}--
"""

_NOT_FOR_A_HEADER = re.compile(r"[^ -~]")


class Letter:
    """Of the templates `<name>.txt.j2` and `<name>.html.j2`."""

    def __init__(self, name: str, *, sender: Mailbox) -> None:
        self._sender = sender
        self._text = _template(f"{name}.txt.j2", autoescape=False)
        self._html = _template(f"{name}.html.j2", autoescape=True)

    def compose(
        self, delivery: Delivery | Notice, *, subject: str, date: datetime, values: Mapping[str, object]
    ) -> bytes:
        """The same message for the same event, however often: same `Message-ID`, same date."""
        mail = _MAIL.format(
            sender=_in_a_header(self._sender.header),
            recipient=_in_a_header(delivery.email),
            subject=_in_a_header(subject),
            date=format_datetime(date),
            event_id=_in_a_header(delivery.event_id),
            domain=_in_a_header(self._sender.domain),
            correlation_id=_in_a_header(delivery.correlation_id),
            boundary=f"=_{_in_a_header(delivery.event_id)}",  # it stands in none of the texts
            text=self._text.render(values),
            html=self._html.render(values),
        )
        return mail.replace("\n", "\r\n").encode("ascii")


@functools.cache
def _template(file: str, *, autoescape: bool) -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=autoescape,  # noqa: S701 - on where it is HTML
    )
    return environment.get_template(file)


def _in_a_header(value: str) -> str:
    """A line break in it would begin a header of its own."""
    return _NOT_FOR_A_HEADER.sub("", value)
