"""Delivery by SMTP (RFC 5321)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import aiosmtplib

from services.notifier.channel import CredentialsRefused, Delivery, DeliveryFailed, Notice, TryLater, WillNotDeliver
from services.notifier.mail_server import MailServer
from services.notifier.notice_email import NoticeEmail
from services.notifier.otp_email import OtpEmail
from services.notifier.settings import NotifierSettings
from services.notifier.turns import Turn

# Replies that speak of us and not of the message (RFC 4954 section 6), before a recipient is named. In reply to one
# they are as good as any stranger's word: they may not stop the mails of all others.
_OUR_CREDENTIALS = {530, 534, 535, 538}
_PERMANENT = 500

# Other 5xx, to our connection or to EHLO, come before the server knows of a message: they can't be the message's fault.
_OF_MESSAGE = (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError)
_OF_RECIPIENT = (aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError)


class SmtpChannel:
    def __init__(self, settings: NotifierSettings) -> None:
        self._settings = settings
        self._server = MailServer(settings)
        self.reach = self._server.reach
        self._otp_email = OtpEmail(sender=settings.mail_from, subject=settings.mail_subject)
        self._notice_email = NoticeEmail(sender=settings.mail_from)

    async def deliver(self, delivery: Delivery | Notice, turn: Turn) -> None:
        with _failures_sorted():
            # aiosmtplib's own time-out is per reply: a slow server would hold us many times as long.
            async with asyncio.timeout(self._settings.smtp_timeout):
                await self._server.send(partial(self._compose, delivery), delivery.email, turn)

    async def probe(self) -> None:
        with _failures_sorted():
            async with asyncio.timeout(self._settings.smtp_timeout):
                await self._server.probe()

    async def close(self) -> None:
        await self._server.close()

    def _compose(self, delivery: Delivery | Notice) -> bytes:
        if isinstance(delivery, Notice):
            return self._notice_email.compose(delivery)
        return self._otp_email.compose(delivery)


@contextmanager
def _failures_sorted() -> Iterator[None]:
    try:
        yield
    except aiosmtplib.SMTPResponseException as error:
        raise _sorted(error) from None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise TryLater(type(error).__name__) from None


def _sorted(error: aiosmtplib.SMTPResponseException) -> DeliveryFailed:
    what = "recipient refused" if isinstance(error, aiosmtplib.SMTPRecipientRefused) else type(error).__name__
    reason = f"{what} ({error.code})"
    if error.code in _OUR_CREDENTIALS:
        return TryLater(reason) if isinstance(error, _OF_RECIPIENT) else CredentialsRefused(reason)
    is_permanent = isinstance(error, _OF_MESSAGE) and error.code >= _PERMANENT
    return WillNotDeliver(reason) if is_permanent else TryLater(reason)
