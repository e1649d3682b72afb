"""A real SMTP server on a free loopback port: it keeps what it gets, and misbehaves when it is told to."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal, Self, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.polling import eventually

Stage = Literal["MAIL", "RCPT", "DATA"]

# Instead of a reply: the connection is reset. At DATA the message has been kept by then, and its sender can't know.
HANG_UP = "hang up"

CODE = re.compile(r"^([0-9]{6})\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Received:
    """`sender` and `recipients` are the envelope's; `peer` is the client's address and port."""

    sender: str
    recipients: list[str]
    peer: tuple[str, int]
    message: EmailMessage

    @property
    def text(self) -> str:
        """The decoded text/plain part."""
        part = self.message.get_body(preferencelist=("plain",))
        assert part is not None, "a mail without a text part"
        return str(part.get_content())

    @property
    def code(self) -> str:
        """The one-time code: six digits alone on their line."""
        codes = CODE.findall(self.text)
        assert len(codes) == 1, f"{len(codes)} codes in one mail"
        return str(codes[0])


@dataclass
class _Refusal:
    reply: str
    recipient: str | None
    left: int | None


class MailSink:
    """Use it as an async context manager; `port` is known inside. Its `host` is 127.0.0.1."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._refusals: dict[Stage, _Refusal] = {}
        self._protocols: list[SMTP] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._protocol, self.host, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for protocol in self._protocols:
            hang_up(protocol)  # or `wait_closed` waits for clients that keep their connection
        await self._server.wait_closed()
        await eventually(lambda: all(protocol.transport is None for protocol in self._protocols))

    def _protocol(self) -> SMTP:
        loop = asyncio.get_running_loop()
        protocol = SMTP(_Handler(self), hostname="localhost", enable_SMTPUTF8=True, loop=loop)
        self._protocols.append(protocol)
        self.connections += 1
        return protocol

    def refuse(self, reply: str, *, at: Stage = "RCPT", recipient: str | None = None, times: int | None = None) -> None:
        """Answer the command `at` with `reply`, for example "450 Try later", or with HANG_UP.

        For one envelope recipient only if given, and only the next `times` times if given. DATA is answered
        after the message has arrived.
        """
        self._refusals[at] = _Refusal(reply, recipient, times)

    def accept(self) -> None:
        """Refuse nothing any more."""
        self._refusals.clear()

    def refusal(self, stage: Stage, recipients: list[str]) -> str | None:
        found = self._refusals.get(stage)
        if found is None or found.left == 0 or (found.recipient and found.recipient not in recipients):
            return None
        if found.left:
            found.left -= 1
        return found.reply

    def mails_to(self, recipient: str) -> list[Received]:
        return [mail for mail in self.received if recipient in mail.recipients]

    async def wait_for(
        self,
        recipient: str,
        count: int = 1,
        timeout: float = 10.0,  # noqa: ASYNC109 - a poll can say what it last saw
    ) -> list[Received]:
        """Return the mails to `recipient` once there are `count` or more, oldest first."""

        def enough() -> list[Received]:
            mails = self.mails_to(recipient)
            assert len(mails) >= count, f"{len(mails)} of {count} mails to {recipient}"
            return mails

        return await eventually(enough, timeout)

    async def code_for(
        self,
        recipient: str,
        number: int = 1,
        timeout: float = 10.0,  # noqa: ASYNC109 - the same
    ) -> str:
        """Wait for the mail to `recipient` with this number (1 is the first), and return its code."""
        return (await self.wait_for(recipient, number, timeout))[number - 1].code


def hang_up(protocol: SMTP) -> None:
    if protocol.transport is not None:
        with suppress(AttributeError):  # asyncio's TLS transport, when its connection has ended already (Python 3.11)
            cast("asyncio.Transport", protocol.transport).abort()


class _Handler:
    """aiosmtpd's hooks: they are found by these names."""

    def __init__(self, sink: MailSink) -> None:
        self._sink = sink

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self._answer(server, "MAIL", []) or "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if reply := self._answer(server, "RCPT", [address]):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        reply = self._answer(server, "DATA", envelope.rcpt_tos)
        if reply in (None, HANG_UP):
            self._sink.received.append(_received(session, envelope))
        return reply or "250 OK"

    def _answer(self, server: SMTP, stage: Stage, recipients: list[str]) -> str | None:
        reply = self._sink.refusal(stage, recipients)
        if reply == HANG_UP:
            hang_up(server)
        return reply


def _received(session: Session, envelope: Envelope) -> Received:
    message = email.message_from_bytes(cast("bytes", envelope.content), policy=email.policy.default)
    return Received(
        sender=str(envelope.mail_from),
        recipients=list(envelope.rcpt_tos),
        peer=cast("tuple[str, int]", session.peer),
        message=message,
    )
