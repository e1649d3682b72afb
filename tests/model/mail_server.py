"""A mail server in memory, which stands where `aiosmtplib.send` stands: what becomes of a mail is decided by a rule."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import Any

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

    async def send(self, message: EmailMessage, *, recipients: list[str], **_: Any) -> None:
        """`aiosmtplib.send`."""
        one = Sending(this_process.get(), self._read(message, recipients), self._loop.create_future())
        self.sending.append(one)
        try:
            await one.answer
        finally:
            self.sending.remove(one)

    def _read(self, message: EmailMessage, recipients: list[str]) -> Sent:
        text = next(part for part in message.walk() if part.get_content_type() == "text/plain")
        (code,) = _ALONE_ON_ITS_LINE.findall(str(text.get_payload()).replace("\r", ""))
        return Sent(
            event_id=message["X-Event-Id"],
            message_id=message["Message-ID"],
            code=code,
            recipient=",".join(recipients),
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
