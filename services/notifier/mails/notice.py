"""The mail that reports a change to the owner of the account, with advice; no code, no link."""

from __future__ import annotations

from datetime import datetime

from services.notifier.channel import Notice
from services.notifier.mailbox import Mailbox
from services.notifier.mails.mime_message import MimeMessage
from services.notifier.mails.style import SHIPPED_STYLE, Style

# With so few, the owner should make new codes before the last one is used.
_FEW = 3
_AMOUNT = {0: "none", 1: "one"}


class NoticeMail:
    def __init__(self, *, sender: Mailbox, site: str, style: Style = SHIPPED_STYLE) -> None:
        self._style = style
        self._message = MimeMessage("notice", sender=sender, site=site, style=style)

    def compose(self, notice: Notice) -> bytes:
        text = f"notice.{notice.notice}"
        values = {
            "happened": self._style.text(f"{text}.happened") + self._left(notice.recovery_codes_left),
            "advice": self._style.text(f"{text}.advice"),
            "moment": self._moment(notice.occurred_at),
            "notice": notice.notice,
        }
        subject = self._style.text(f"{text}.subject")
        return self._message.compose(notice, purpose="notice", subject=subject, date=notice.occurred_at, values=values)

    def _moment(self, at: datetime) -> str:
        month = self._style.text("mail.months").split()[at.month - 1]
        return self._style.text("mail.moment", day=f"{at:%d}", month=month, year=at.year, time=f"{at:%H:%M}")

    def _left(self, codes: int | None) -> str:
        """Recovery codes that are left, as a sentence after what happened."""
        if codes is None:
            return ""
        left = self._style.text(f"recovery_codes.{_AMOUNT.get(codes, 'many')}", number=codes)
        return " " + self._style.text(f"recovery_codes.{'few' if codes <= _FEW else 'enough'}", left=left)
