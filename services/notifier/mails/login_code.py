"""The mail with a login code: alone on its line of the text part, and in no header."""

from __future__ import annotations

from services.notifier.channel import Delivery
from services.notifier.mailbox import Mailbox
from services.notifier.mails.lifetime import lifetime
from services.notifier.mails.mime_message import MimeMessage


class LoginCodeMail:
    def __init__(self, *, sender: Mailbox, subject: str, site: str) -> None:
        self._subject = subject
        self._message = MimeMessage("login_code", sender=sender, site=site)

    def compose(self, delivery: Delivery) -> bytes:
        values = {"code": delivery.code, "valid": lifetime(delivery.requested_at, delivery.expires_at)}
        return self._message.compose(
            delivery, purpose="login", subject=self._subject, date=delivery.requested_at, values=values
        )
