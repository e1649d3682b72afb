"""The SMTP server (RFC 5321) of the tests' mail server: at each stage it asks what is to go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol, cast, get_args

from aiosmtpd.smtp import SMTP, Envelope, Session

# CONNECT is the greeting; EHLO is HELO too, which clients try next; DATA the end of a message, after the dot; BODY
# what comes before it: the command DATA, or, where the connection is to be reset, the first bytes of the message.
Stage = Literal["CONNECT", "EHLO", "MAIL", "RCPT", "BODY", "DATA"]
STAGES: tuple[Stage, ...] = get_args(Stage)

# Instead of a reply. At DATA the message has been kept by then, and its sender can't know.
HANG_UP = "hang up"  # the connection is reset
SILENCE = "silence"  # the connection stays open


class Decisions(Protocol):
    """Who says what goes wrong, and takes the mail."""

    slowness: float
    extensions: Sequence[str]

    def refusal(self, stage: Stage, recipients: list[str]) -> str | None:
        """A reply, HANG_UP or SILENCE; None lets it pass."""
        ...

    def lateness(self, stage: Stage, recipients: list[str]) -> float: ...

    def hear(self, data: bytes) -> None: ...

    def take(self, session: Session, envelope: Envelope) -> None: ...


class MisbehavingSmtp(SMTP):
    """One connection. `options` are aiosmtpd's."""

    def __init__(self, decisions: Decisions, **options: Any) -> None:
        super().__init__(_Hooks(decisions), hostname="localhost", loop=asyncio.get_running_loop(), **options)
        self._decisions = decisions
        self._greeted = False
        self._hangs_up_on_data = False

    def data_received(self, data: bytes) -> None:
        if self._hangs_up_on_data:
            hang_up(self)
            return
        self._decisions.hear(data)
        super().data_received(data)

    async def push(self, status: Any) -> None:  # Any: aiosmtpd says str or bytes, and gives str
        if not self._greeted:
            self._greeted = True
            status = await self.decided("CONNECT") or status
        if status[3:4] != "-":  # of several lines, the last one only
            await asyncio.sleep(self._decisions.slowness)
        await super().push(status)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        recipients = cast("Envelope", self.envelope).rcpt_tos
        reply = self._decisions.refusal("BODY", recipients)
        self._hangs_up_on_data = reply == HANG_UP
        if reply is None or self._hangs_up_on_data:
            await super().smtp_DATA(arg)
        else:
            await self.push(await self.carried_out(reply, "BODY", recipients))

    async def decided(self, stage: Stage, *recipients: str) -> str | None:
        """The reply that is to be given instead of the usual one."""
        return await self.carried_out(self._decisions.refusal(stage, [*recipients]), stage, [*recipients])

    async def carried_out(self, reply: str | None, stage: Stage, recipients: list[str]) -> str | None:
        await asyncio.sleep(self._decisions.lateness(stage, recipients))
        if reply == HANG_UP:
            hang_up(self)
        if reply not in (HANG_UP, SILENCE):
            return reply
        try:
            return str(await asyncio.get_running_loop().create_future())  # until it is cancelled: the client has gone
        finally:
            hang_up(self)


def hang_up(protocol: SMTP) -> None:
    if protocol.transport is not None:
        with suppress(AttributeError):  # asyncio's TLS transport, when its connection has ended already (Python 3.11)
            cast("asyncio.Transport", protocol.transport).abort()


class _Hooks:
    """aiosmtpd finds them by these names."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: MisbehavingSmtp, session: Session, _envelope: Envelope, hostname: str, lines: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if reply := await server.decided("EHLO"):
            return [reply]
        first, *others = lines
        return [first, *(f"250-{extension}" for extension in self._decisions.extensions), *others]

    async def handle_HELO(  # noqa: N802 - aiosmtpd's name
        self, server: MisbehavingSmtp, session: Session, _envelope: Envelope, hostname: str
    ) -> str:
        session.host_name = hostname
        return await server.decided("EHLO") or f"250 {server.hostname}"

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: MisbehavingSmtp, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return await server.decided("MAIL") or "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: MisbehavingSmtp, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if reply := await server.decided("RCPT", address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: MisbehavingSmtp, session: Session, envelope: Envelope
    ) -> str:
        reply = self._decisions.refusal("DATA", envelope.rcpt_tos)
        if reply in (None, HANG_UP, SILENCE):
            self._decisions.take(session, envelope)
        return await server.carried_out(reply, "DATA", envelope.rcpt_tos) or "250 OK"
