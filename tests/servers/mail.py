"""A real SMTP server on the loopback address: it keeps what it gets, and misbehaves when it is told to.

By hand, with faults at the start and others typed later; it prints of each mail whose it is, and never a code:

    python -m tests.servers.mail --port 2525 --refuse "450 Try later" --at RCPT --times 3
"""

from __future__ import annotations

import argparse
import asyncio
import email
import email.policy
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Generic, Self, TypeVar, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.polling import eventually
from tests.servers.by_hand import Faults, by_hand
from tests.servers.misbehaving_smtp import HANG_UP, SILENCE, STAGES, MisbehavingSmtp, Stage, hang_up

__all__ = ("ACCOUNT_CODE", "CODE", "HANG_UP", "SILENCE", "MailSink", "Received", "Stage")

CODE = re.compile(r"^([0-9]{6})\r?$", re.MULTILINE)
ACCOUNT_CODE = re.compile(r"^([0-9A-Z]{5})-([0-9A-Z]{5})\r?$", re.MULTILINE)

T = TypeVar("T", str, float)


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
    def has_code(self) -> bool:
        """Not every mail is for a login."""
        return CODE.search(self.text) is not None

    @property
    def code(self) -> str:
        """The one-time code: six digits alone on their line."""
        codes = CODE.findall(self.text)
        assert len(codes) == 1, f"{len(codes)} codes in one mail"
        return str(codes[0])

    @property
    def purpose(self) -> str:
        """`login`, `notice`, or an account code's."""
        return str(self.message["X-Purpose"])

    @property
    def account_code(self) -> str:
        """The code that proves an address, without its hyphen."""
        codes = ACCOUNT_CODE.findall(self.text)
        assert len(codes) == 1, f"{len(codes)} account codes in one mail"
        return "".join(codes[0])


@dataclass
class _Fault(Generic[T]):
    what: T
    recipient: str | None
    left: int | None

    def hits(self, recipients: list[str]) -> bool:
        if self.left == 0 or (self.recipient and not any(self._is_for(each) for each in recipients)):
            return False
        if self.left:
            self.left -= 1
        return True

    def _is_for(self, address: str) -> bool:
        domain = address.rpartition("@")[2]
        of_its_domain = self.recipient in (address, f"@{domain}")
        return of_its_domain or ((self.recipient or "").startswith("@.") and domain.endswith(str(self.recipient)[1:]))


class MailSink:
    """Use it as an async context manager; `port` is known inside. Its `host` is 127.0.0.1.

    `extensions` are offered beside its own. `heard` are the lines of all its clients.
    """

    host = "127.0.0.1"

    def __init__(self, *, port: int = 0, extensions: Sequence[str] = ()) -> None:
        self.port = port
        self.extensions = extensions
        self.received: list[Received] = []
        self.heard: list[str] = []
        self.connections = 0
        self.slowness = 0.0
        self._refusals: dict[Stage, _Fault[str]] = {}
        self._lateness: dict[Stage, _Fault[float]] = {}
        self._protocols: list[SMTP] = []
        self._options: dict[str, Any] = {"enable_SMTPUTF8": True}

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Inside the block nobody listens on its port; at its end it does again."""
        await self._close()
        try:
            yield
        finally:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._protocol, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        self.hang_up()  # or `wait_closed` waits for clients that keep their connection
        await self._server.wait_closed()
        await eventually(lambda: all(protocol.transport is None for protocol in self._protocols))

    def _protocol(self) -> SMTP:
        protocol = MisbehavingSmtp(self, **self._options)
        self._protocols.append(protocol)
        self.connections += 1
        return protocol

    def refuse(self, reply: str, *, at: Stage = "RCPT", recipient: str | None = None, times: int | None = None) -> None:
        """Answer at stage `at` with `reply`, for example "450 Try later", or with HANG_UP or SILENCE.

        For one envelope recipient only if given, or for all "@of.a.domain" or "@.of.its.subdomains": it is known from
        RCPT on. Only the next `times` times if given. DATA is answered after the message has arrived.
        """
        self._refusals[at] = _Fault(reply, recipient, times)

    def be_late(
        self, seconds: float, *, at: Stage = "DATA", recipient: str | None = None, times: int | None = None
    ) -> None:
        """Answer at stage `at` so much later, as usual or with the refusal; at DATA the message is kept at once."""
        self._lateness[at] = _Fault(seconds, recipient, times)

    def be_slow(self, seconds: float) -> None:
        """Let so much time pass before each reply."""
        self.slowness = seconds

    def accept(self) -> None:
        """Be well again. Who waits for a reply in silence waits on."""
        self._refusals.clear()
        self._lateness.clear()
        self.slowness = 0.0

    def hang_up(self) -> None:
        """Reset the connections of all clients."""
        for protocol in self._protocols:
            hang_up(protocol)

    def refusal(self, stage: Stage, recipients: list[str]) -> str | None:
        found = self._refusals.get(stage)
        return found.what if found and found.hits(recipients) else None

    def lateness(self, stage: Stage, recipients: list[str]) -> float:
        found = self._lateness.get(stage)
        return found.what if found and found.hits(recipients) else 0.0

    def hear(self, data: bytes) -> None:
        self.heard += data.decode(errors="replace").splitlines()

    def take(self, session: Session, envelope: Envelope) -> None:
        self.received.append(_received(session, envelope))

    def mails_to(self, recipient: str) -> list[Received]:
        return [mail for mail in self.received if recipient in mail.recipients]

    async def wait_for(
        self,
        recipient: str,
        count: int = 1,
        timeout: float = 30.0,  # noqa: ASYNC109 - a poll can say what it last saw
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
        timeout: float = 30.0,  # noqa: ASYNC109 - a poll can say what it last saw
    ) -> str:
        """Wait for the code to `recipient` with this number (1 is the first)."""

        def enough() -> list[str]:
            codes = [mail.code for mail in self.mails_to(recipient) if mail.has_code]
            assert len(codes) >= number, f"{len(codes)} of {number} codes to {recipient}"
            return codes

        return (await eventually(enough, timeout))[number - 1]

    async def account_code_for(self, recipient: str, purpose: str, number: int = 1) -> str:
        """Wait for the account code to `recipient` for this purpose with this number (1 is the first)."""

        def enough() -> list[str]:
            codes = [mail.account_code for mail in self.mails_to(recipient) if mail.purpose == purpose]
            assert len(codes) >= number, f"{len(codes)} of {number} {purpose} codes to {recipient}"
            return codes

        return (await eventually(enough, 30.0))[number - 1]


def _received(session: Session, envelope: Envelope) -> Received:
    message = email.message_from_bytes(cast("bytes", envelope.content), policy=email.policy.default)
    return Received(
        sender=str(envelope.mail_from),
        recipients=list(envelope.rcpt_tos),
        peer=cast("tuple[str, int]", session.peer),
        message=message,
    )


class _Printing(MailSink):
    """Keeps nothing, and prints no code: it is in the body alone."""

    def hear(self, data: bytes) -> None:
        pass

    def take(self, session: Session, envelope: Envelope) -> None:
        mail = _received(session, envelope)
        print(*mail.recipients, mail.message["Message-ID"], mail.message["Subject"], flush=True)


def _faults() -> Faults:
    faults = Faults()
    faults.add_argument("--refuse", metavar="REPLY", help='for example "450 Try later"; at RCPT')
    faults.add_argument("--hang-up", dest="refuse", action="store_const", const=HANG_UP, help="instead of a reply")
    faults.add_argument("--silent", dest="refuse", action="store_const", const=SILENCE, help="never reply")
    faults.add_argument("--late", type=float, metavar="SECONDS", help="reply so much later; at DATA")
    faults.add_argument("--at", choices=STAGES, help="DATA is after the dot, BODY before it")
    faults.add_argument("--recipient", help="for this one only, or for all @of.a.domain")
    faults.add_argument("--times", type=int, help="the next few times only")
    faults.add_argument("--slow", type=float, metavar="SECONDS", help="before each reply")
    faults.add_argument("--accept", action="store_true", help="all is well again")
    return faults


async def _apply(sink: MailSink, asked: argparse.Namespace) -> None:
    if asked.accept:
        sink.accept()
    if asked.slow is not None:
        sink.be_slow(asked.slow)
    if asked.late is not None:
        sink.be_late(asked.late, at=asked.at or "DATA", recipient=asked.recipient, times=asked.times)
    if asked.refuse is not None:
        sink.refuse(asked.refuse, at=asked.at or "RCPT", recipient=asked.recipient, times=asked.times)


async def _main() -> None:
    faults = _faults()
    parser = argparse.ArgumentParser(description="A mail server that misbehaves on request.", parents=[faults])
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0 takes a free one")
    asked = parser.parse_args()
    async with _Printing(port=asked.port) as sink:
        print(f"smtp://{sink.host}:{sink.port}", flush=True)
        await _apply(sink, asked)
        await by_hand(faults, lambda typed: _apply(sink, typed))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())
