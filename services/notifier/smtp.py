"""Delivery by SMTP (RFC 5321)."""

from __future__ import annotations

import asyncio
from functools import partial

import aiosmtplib

from services.notifier.channel import CredentialsRefused, Delivery, Notice, TryLater, WillNotDeliver
from services.notifier.mail_server import MailServer
from services.notifier.notice_email import NoticeEmail
from services.notifier.otp_email import OtpEmail
from services.notifier.settings import NotifierSettings

# Replies that speak of us and not of the message (RFC 4954 section 6).
_OUR_CREDENTIALS = {530, 534, 535, 538}
_PERMANENT = 500

# Other 5xx, to our connection or to EHLO, come before the server knows of a message: they can't be the message's fault.
_OF_MESSAGE = (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError)

# Replies that speak of one mailbox (RFC 5321 section 4.2.3): busy or greylisted, unknown, elsewhere, full, no address.
_OF_MAILBOX = {450, 550, 551, 552, 553}


class SmtpChannel:
    def __init__(self, settings: NotifierSettings) -> None:
        self._settings = settings
        self._server = MailServer(settings)
        self._otp_email = OtpEmail(sender=settings.mail_from, subject=settings.mail_subject)
        self._notice_email = NoticeEmail(sender=settings.mail_from)

    async def deliver(self, delivery: Delivery | Notice) -> None:
        try:
            # aiosmtplib's own time-out is per reply: a slow server would hold us many times as long.
            async with asyncio.timeout(self._settings.smtp_timeout):
                await self._server.send(partial(self._compose, delivery), delivery.email)
        except aiosmtplib.SMTPRecipientRefused as error:
            of_mailbox = error.code in _OF_MAILBOX
            raise _sorted(error.code, "recipient refused", of_message=True, of_mailbox=of_mailbox) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _sorted(error.code, type(error).__name__, of_message=isinstance(error, _OF_MESSAGE)) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise TryLater(type(error).__name__) from None

    async def close(self) -> None:
        await self._server.close()

    def _compose(self, delivery: Delivery | Notice) -> bytes:
        if isinstance(delivery, Notice):
            return self._notice_email.compose(delivery)
        return self._otp_email.compose(delivery)


def _sorted(
    code: int, what: str, *, of_message: bool, of_mailbox: bool = False
) -> TryLater | WillNotDeliver | CredentialsRefused:
    reason = f"{what} ({code})"
    if code in _OUR_CREDENTIALS:
        return CredentialsRefused(reason)
    return (WillNotDeliver if of_message and code >= _PERMANENT else TryLater)(reason, of_mailbox=of_mailbox)
