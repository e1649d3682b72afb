"""The mail that carries a code: a 7-bit text part first, the code alone on its line, then an HTML part."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.notifier.channel import Delivery

_TEMPLATES = Path(__file__).parent / "templates"


class OtpEmail:
    def __init__(self, *, sender: str, subject: str) -> None:
        self._sender = sender
        self._subject = subject
        loader = FileSystemLoader(_TEMPLATES)
        self._text = Environment(loader=loader, undefined=StrictUndefined, autoescape=False).get_template(  # noqa: S701 - text
            "otp_requested.txt.j2"
        )
        self._html = Environment(loader=loader, undefined=StrictUndefined, autoescape=True).get_template(
            "otp_requested.html.j2"
        )

    def compose(self, delivery: Delivery) -> EmailMessage:
        """The same message for the same event, however often: same `Message-ID`, same date."""
        minutes = max(1, round((delivery.expires_at - delivery.requested_at).total_seconds() / 60))
        values = {"code": delivery.code, "minutes": minutes, "name": delivery.name}
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = Address(addr_spec=delivery.email)
        message["Subject"] = self._subject
        message["Date"] = format_datetime(delivery.requested_at)
        message["Message-ID"] = f"<{delivery.event_id}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation answers
        message["X-Event-Id"] = delivery.event_id
        message["X-Correlation-Id"] = delivery.correlation_id
        # A name outside ASCII would force an encoding on the text part, and inboxes in tests show it undecoded.
        ascii_name = delivery.name if delivery.name.isascii() else ""
        message.set_content(self._text.render({**values, "name": ascii_name}), cte="7bit")
        html = self._html.render(values).encode("ascii", "xmlcharrefreplace").decode()
        message.add_alternative(html, subtype="html", cte="7bit")
        return message
