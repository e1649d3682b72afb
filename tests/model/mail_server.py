"""A mail server in memory, behind what stands where `aiosmtplib.SMTP` stands: a rule decides what becomes of a mail."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage

import aiosmtplib

from tests.model.faults import Mail
from tests.model.simulated_time import Owner, SimulatedLoop, this_process

_ALONE_ON_ITS_LINE = re.compile(r"^\d{6}$", re.ASCII | re.MULTILINE)

_HEARD: dict[Mail, Callable[[], Exception]] = {
    Mail.DROPPED: lambda: aiosmtplib.SMTPServerDisconnected("gone"),
    Mail.UNHEARD: lambda: aiosmtplib.SMTPServerDisconnected("gone"),
    Mail.REFUSED_FOR_NOW: lambda: aiosmtplib.SMTPResponseException(451, "try again"),
    Mail.REFUSED_FOR_GOOD: lambda: aiosmtplib.SMTPResponseException(550, "nobody"),
    Mail.CREDENTIALS_REFUSED: lambda: aiosmtplib.SMTPAuthenticationError(535, "no"),
}
_TAKEN = {Mail.ACCEPTED, Mail.UNHEARD, Mail.SILENT, Mail.ACCEPTED_THEN_CRASH, Mail.ACCEPTED_THEN_CUT}


@dataclass(frozen=True, slots=True)
class Sent:
    """What the inbox shows, and when its sending began."""

    event_id: str
    message_id: str
    code: str
    recipient: str
    begun_at: datetime


@dataclass(eq=False, slots=True)
class Sending:
    owner: Owner | None
    mail: Sent
    answer: asyncio.Future[None]
    accepted: bool = False


class MemoryMailServer:
    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.sending: list[Sending] = []
        self.inbox: list[Sent] = []

    async def take(self, content: bytes, recipient: str) -> None:
        """What comes after DATA."""
        message = email.message_from_bytes(content, policy=email.policy.SMTP)
        one = Sending(this_process.get(), self._read(message, recipient), self._loop.create_future())
        self.sending.append(one)
        try:
            await one.answer
        finally:
            self.sending.remove(one)

    def _read(self, message: EmailMessage, recipient: str) -> Sent:
        text = next(part for part in message.walk() if part.get_content_type() == "text/plain")
        (code,) = _ALONE_ON_ITS_LINE.findall(str(text.get_payload()).replace("\r", ""))
        return Sent(
            event_id=message["X-Event-Id"],
            message_id=message["Message-ID"],
            code=code,
            recipient=recipient,
            begun_at=self._loop.moment,
        )

    @property
    def undecided(self) -> list[Sending]:
        return [one for one in self.sending if not one.accepted]

    def decide(self, one: Sending, what: Mail) -> None:
        if what in _TAKEN:
            one.accepted = True
            self.inbox.append(one.mail)
        if what in _HEARD:
            one.answer.set_exception(_HEARD[what]())
        elif what is Mail.ACCEPTED:
            one.answer.set_result(None)


class MemorySmtp:
    """One connection to it. Like the real one it is gone after a reply that never came."""

    is_ehlo_or_helo_needed = False

    def __init__(self, server: MemoryMailServer) -> None:
        self._server = server
        self._open = False
        self._recipient = ""

    def _check(self) -> None:
        if not self._open:
            raise aiosmtplib.SMTPServerDisconnected("not connected")

    async def connect(self) -> None:
        self._open = True

    async def mail(self, _sender: str) -> None:
        self._check()

    async def rcpt(self, recipient: str) -> None:
        self._check()
        self._recipient = recipient

    async def data(self, content: bytes) -> aiosmtplib.SMTPResponse:
        self._check()
        try:
            await self._server.take(content, self._recipient)
        except aiosmtplib.SMTPServerDisconnected:
            self.close()
            raise
        return aiosmtplib.SMTPResponse(250, "2.0.0 Ok")

    async def quit(self) -> None:
        self._check()
        self.close()

    def close(self) -> None:
        self._open = False
