"""The mail with a code that proves an address: like a login code's, with a text for each purpose.

The mailbox may be a stranger's, so no text of whoever asked is in it: no name, and no link.
"""

from __future__ import annotations

from services.notifier.channel import AccountCode
from services.notifier.mailbox import Mailbox
from services.notifier.mails.lifetime import lifetime
from services.notifier.mails.mime_message import MimeMessage
from services.notifier.mails.style import SHIPPED_STYLE, Style
from shared.long_codes import in_halves


class AccountCodeMail:
    def __init__(self, *, sender: Mailbox, site: str, style: Style = SHIPPED_STYLE) -> None:
        self._site, self._style = site, style
        self._message = MimeMessage("account_code", sender=sender, site=site, style=style)

    def compose(self, code: AccountCode) -> bytes:
        text = f"account_code.{code.purpose}"
        values = {
            "intro": self._style.text(f"{text}.intro", site=self._site),
            "code": in_halves(code.code),
            "lifetime": lifetime(code.requested_at, code.expires_at, self._style),
            "advice": self._style.text(f"{text}.advice"),
        }
        subject = self._style.text(f"{text}.subject")
        return self._message.compose(code, purpose=code.purpose, subject=subject, date=code.requested_at, values=values)
