"""The mail with a code that proves an address: like a login code's, with a text for each purpose.

The mailbox may be a stranger's, so no text of whoever asked is in it: no name, and no link.
"""

from __future__ import annotations

from services.notifier.channel import AccountCode
from services.notifier.mailbox import Mailbox
from services.notifier.mails.lifetime import lifetime
from services.notifier.mails.mime_message import MimeMessage
from shared.long_codes import in_halves
from shared.messaging.address_events import CodePurpose

_NOTHING_HAPPENS = "If you did not ask for it, you need do nothing: without this code nothing happens."
_PASSWORD_WORKS = f"{_NOTHING_HAPPENS} Your password still works. Give the code to nobody."

# Subject; what the code is for, before the name of the site; advice.
TEXTS: dict[CodePurpose, tuple[str, str, str]] = {
    "verify": ("Confirm your mail address", "this code confirms the mail address of your account", _NOTHING_HAPPENS),
    "change": (
        "Confirm your new mail address",
        "this code confirms the new mail address of your account",
        _NOTHING_HAPPENS,
    ),
    "reset": (
        "Your code for a new password",
        "with this code you can set a new password for your account",
        _PASSWORD_WORKS,
    ),
    "register": ("Finish your registration", "this code finishes your registration", _NOTHING_HAPPENS),
    "invite": (
        "You are invited",
        "you are invited. With this code you can register",
        "If you do not want an account, you need do nothing: without this code nothing happens.",
    ),
    "test": ("Test of the mails", "this is a test mail, with a code that opens nothing,", _NOTHING_HAPPENS),
}


class AccountCodeMail:
    def __init__(self, *, sender: Mailbox, site: str) -> None:
        self._message = MimeMessage("account_code", sender=sender, site=site)

    def compose(self, code: AccountCode) -> bytes:
        subject, use, advice = TEXTS[code.purpose]
        values = {
            "use": use,
            "code": in_halves(code.code),
            "valid": lifetime(code.requested_at, code.expires_at),
            "advice": advice,
        }
        return self._message.compose(code, purpose=code.purpose, subject=subject, date=code.requested_at, values=values)
