"""The mail of each message, as these settings want it."""

from __future__ import annotations

from services.notifier.channel import AccountCode, Mail, Notice
from services.notifier.mails.account_code import AccountCodeMail
from services.notifier.mails.login_code import LoginCodeMail
from services.notifier.mails.notice import NoticeMail
from services.notifier.settings import NotifierSettings


class Composer:
    def __init__(self, settings: NotifierSettings) -> None:
        sender, site, style = settings.mail_from, settings.site_name, settings.mail_style
        self._login_code = LoginCodeMail(sender=sender, subject=settings.mail_subject, site=site, style=style)
        self._account_code = AccountCodeMail(sender=sender, site=site, style=style)
        self._notice = NoticeMail(sender=sender, site=site, style=style)

    def compose(self, mail: Mail) -> bytes:
        if isinstance(mail, Notice):
            return self._notice.compose(mail)
        if isinstance(mail, AccountCode):
            return self._account_code.compose(mail)
        return self._login_code.compose(mail)
