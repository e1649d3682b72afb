"""Delivery by SMTP (RFC 5321)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import aiosmtplib

from services.notifier.channel import (
    CredentialsRefused,
    DeliveryFailed,
    InDoubt,
    Mail,
    Notice,
    TryLater,
    WillNotDeliver,
)
from services.notifier.mail_failures import CREDENTIALS, PERMANENT, Dialogue, explain, is_about_us, words
from services.notifier.mail_server import MailServer
from services.notifier.mails.composer import Composer
from services.notifier.reach import Reach
from services.notifier.settings import NotifierSettings
from services.notifier.smtp_metrics import SmtpTimer
from services.notifier.turns import Turn

# A 5xx before RCPT, also to the sender, is about us: the server does not know the message yet.
_OF_MESSAGE = (aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError)


class SmtpChannel:
    def __init__(self, settings: NotifierSettings, reach: Reach) -> None:
        self._settings, self.reach = settings, reach
        self._server = MailServer(settings, reach)
        self._timer = SmtpTimer(f"{settings.smtp_host}:{settings.smtp_port}", _sort)
        self._composer = Composer(settings)

    async def deliver(self, mail: Mail, turn: Turn) -> str:
        dialogue = Dialogue(mail.email, code="" if isinstance(mail, Notice) else mail.code)
        with self._failures_sorted(dialogue), self._timer.timed():
            # aiosmtplib's own time-out is per reply: a slow server could hold us many times as long.
            async with asyncio.timeout(self._settings.smtp_timeout):
                reply = await self._server.send(partial(self._composer.compose, mail), dialogue, turn)
        return words(reply.code, reply.message, dialogue, self._settings)

    async def probe(self) -> None:
        with self._failures_sorted(dialogue := Dialogue()):
            async with asyncio.timeout(self._settings.smtp_timeout):
                await self._server.probe(dialogue)

    async def close(self) -> None:
        await self._server.close()

    @contextmanager
    def _failures_sorted(self, dialogue: Dialogue) -> Iterator[None]:
        try:
            yield
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise _sort(error, dialogue.stage)(explain(error, dialogue, self._settings)) from None


def _sort(error: Exception, stage: str = "") -> type[DeliveryFailed]:
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return InDoubt if stage == "DATA" else TryLater
    of_message = isinstance(error, _OF_MESSAGE)
    if error.code in CREDENTIALS:
        # At RCPT and DATA one recipient's server may cause these codes: they must not stop all other mails.
        return TryLater if of_message else CredentialsRefused
    if not of_message or error.code < PERMANENT:
        return TryLater
    # If the guess is wrong, this one mail is retried until it expires, and no other mail waits.
    return TryLater if is_about_us(error.message) else WillNotDeliver
