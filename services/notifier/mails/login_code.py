"""The mail with a login code: alone on its line of the text part, and in no header."""

from __future__ import annotations

from services.notifier.channel import Delivery
from services.notifier.mailbox import Mailbox
from services.notifier.mails.lifetime import lifetime
from services.notifier.mails.mime_message import MimeMessage
from services.notifier.mails.style import SHIPPED_STYLE, Style


class LoginCodeMail:
    def __init__(self, *, sender: Mailbox, subject: str | None, site: str, style: Style = SHIPPED_STYLE) -> None:
        self._style, self._subject = style, subject or style.text("login_code.subject")
        self._message = MimeMessage("login_code", sender=sender, site=site, style=style)

    def compose(self, delivery: Delivery) -> bytes:
        values = {"code": delivery.code, "lifetime": lifetime(delivery.requested_at, delivery.expires_at, self._style)}
        return self._message.compose(
            delivery, purpose="login", subject=self._subject, date=delivery.requested_at, values=values
        )
