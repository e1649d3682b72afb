"""What every mail of ours has: one recipient, headers that name the event, a 7-bit text part, then an HTML part."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.notifier.channel import Delivery, Notice
from shared.names import refuse_invisible

_TEMPLATES = Path(__file__).parent / "templates"


class Letter:
    """Of the templates `<name>.txt.j2` and `<name>.html.j2`."""

    def __init__(self, name: str, *, sender: str) -> None:
        self._sender = sender
        loader = FileSystemLoader(_TEMPLATES)
        self._text = Environment(loader=loader, undefined=StrictUndefined, autoescape=False).get_template(  # noqa: S701 - text
            f"{name}.txt.j2"
        )
        self._html = Environment(loader=loader, undefined=StrictUndefined, autoescape=True).get_template(
            f"{name}.html.j2"
        )

    def compose(
        self, delivery: Delivery | Notice, *, subject: str, date: datetime, values: Mapping[str, object]
    ) -> EmailMessage:
        """The same message for the same event, however often: same `Message-ID`, same date."""
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = Address(addr_spec=delivery.email)
        message["Subject"] = subject
        message["Date"] = format_datetime(date)
        message["Message-ID"] = f"<{delivery.event_id}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation answers
        message["X-Event-Id"] = delivery.event_id
        message["X-Correlation-Id"] = delivery.correlation_id
        name = _shown(delivery.name)
        # A name outside ASCII would force an encoding on the text part, and inboxes in tests show it undecoded.
        ascii_name = name if name.isascii() else ""
        message.set_content(self._text.render({**values, "name": ascii_name}), cte="7bit")
        html = self._html.render({**values, "name": name}).encode("ascii", "xmlcharrefreplace").decode()
        message.add_alternative(html, subtype="html", cte="7bit")
        return message


def _shown(name: str) -> str:
    """`name`, or nothing: a line break in it would begin a line, which could read like a code or like advice."""
    try:
        return refuse_invisible(name)
    except ValueError:
        return ""
