"""The mail with a login code: alone on its line of the text part, and in no header."""

from __future__ import annotations

from services.notifier.channel import Delivery
from services.notifier.mailbox import Mailbox
from services.notifier.mails.mime_message import MimeMessage


class LoginCodeMail:
    def __init__(self, *, sender: Mailbox, subject: str, site: str) -> None:
        self._subject = subject
        self._message = MimeMessage("login_code", sender=sender, site=site)

    def compose(self, delivery: Delivery) -> bytes:
        minutes = max(1, round((delivery.expires_at - delivery.requested_at).total_seconds() / 60))
        values = {"code": delivery.code, "minutes": minutes}
        return self._message.compose(delivery, subject=self._subject, date=delivery.requested_at, values=values)
