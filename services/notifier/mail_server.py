"""Connections to the mail server, kept between mails: opening one costs more than sending a mail.

1. A connection carries one mail at a time. It is kept only if the server accepted that mail.
2. It is closed after KEPT_SECONDS idle or MOST_MAILS mails, before the server or a firewall drops it. The last one is
   replaced after MOST_MAILS; a mail waits for the new one, REPLACING_SECONDS at most.
3. A connection that is gone at MAIL has sent nothing of the mail, so the mail uses another one at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress

import aiosmtplib

from services.notifier.mail_failures import Dialogue, explain
from services.notifier.reach import Reach
from services.notifier.settings import NotifierSettings
from services.notifier.turns import Turn
from shared.observability import tracing

KEPT_SECONDS = 20.0
MOST_MAILS = 100
GOODBYE_SECONDS = 1.0
REPLACING_SECONDS = 1.0

_CLOSING = 421


class MailServer:
    def __init__(self, settings: NotifierSettings, reach: Reach) -> None:
        self.reach = reach
        self._settings = settings
        # Last in, first out: connections that a quiet time does not need stay idle and are closed.
        self._kept: list[_Connection] = []
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._replacements: set[asyncio.Task[None]] = set()

    async def send(self, compose: Callable[[], bytes], dialogue: Dialogue, turn: Turn) -> aiosmtplib.SMTPResponse:
        """Returns once the server has accepted it; `dialogue` records the stage. Raises what aiosmtplib raises."""
        relay: tracing.Attributes = {
            "server.address": self._settings.smtp_host,
            "server.port": self._settings.smtp_port,
        }
        with tracing.step("smtp send", "CLIENT", relay) as span:
            code = 0
            try:
                reply = await self._send(compose, dialogue, turn)
                code = reply.code
            except aiosmtplib.SMTPResponseException as error:
                code = error.code
                raise
            finally:
                if span is not None and code:
                    span.note({"smtp.response.code": code})
        return reply

    async def _send(self, compose: Callable[[], bytes], dialogue: Dialogue, turn: Turn) -> aiosmtplib.SMTPResponse:
        composing = asyncio.create_task(_result_of(compose))  # while the server answers MAIL
        connection = await self._with_a_mail_begun(dialogue)
        try:
            mail = await composing
            turn.begin()
            dialogue.stage = "RCPT"
            # For RCPT only: a time-out during DATA could send the mail twice.
            async with asyncio.timeout(turn.patience):
                # Not taken from the header `To`, where a comma would make two recipients.
                await connection.smtp.rcpt(dialogue.recipient)
            dialogue.stage = "DATA"
            reply = await connection.smtp.data(mail)
        except BaseException as error:
            self._drop(connection, error)
            raise
        self._keep(connection)
        return reply

    async def probe(self, dialogue: Dialogue) -> None:
        """Opens and closes a connection. Raises what aiosmtplib raises."""
        self._say_goodbye(await self._connected(dialogue))

    async def close(self) -> None:
        if self._replacements:
            for replacement in self._replacements:
                replacement.cancel()
            await asyncio.wait(self._replacements)
        while self._kept:
            self._leave(self._kept[-1])
        if self._goodbyes:
            await asyncio.wait(self._goodbyes)

    async def _with_a_mail_begun(self, dialogue: Dialogue) -> _Connection:
        if self._replacements and not self._kept:
            await asyncio.wait(self._replacements, timeout=REPLACING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        while self._kept:
            kept = self._kept.pop()
            kept.stay()
            try:
                await self._begin(kept, dialogue)
            except aiosmtplib.SMTPServerDisconnected:
                continue
            except aiosmtplib.SMTPSenderRefused as refused:
                if refused.code != _CLOSING:
                    raise
            else:
                return kept
        fresh = await self._connected(dialogue)
        await self._begin(fresh, dialogue)
        return fresh

    async def _connected(self, dialogue: Dialogue) -> _Connection:
        """Updates `reach`: a failure before the first mail is about us, and not about a mail."""
        fresh = _Connection(self._settings)
        try:
            await fresh.open(dialogue)
        except BaseException as error:
            fresh.smtp.close()
            self.reach.note(good=False, reason=explain(error, dialogue, self._settings))
            raise
        self.reach.note(good=True)
        return fresh

    async def _begin(self, connection: _Connection, dialogue: Dialogue) -> None:
        dialogue.stage = "MAIL"
        try:
            await connection.smtp.mail(self._settings.mail_from.address)
        except BaseException as error:
            self._drop(connection, error)
            raise

    def _keep(self, connection: _Connection) -> None:
        """Call after an accepted mail only: a refused one says nothing about `reach`."""
        self.reach.note(good=True)
        connection.mails += 1
        if connection.mails < MOST_MAILS:
            self._await_a_mail(connection)
        else:
            self._say_goodbye(connection)
            if not self._kept:
                _in_background(self._replacements, self._replace())

    def _await_a_mail(self, connection: _Connection) -> None:
        self._kept.append(connection)
        connection.leaving = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._leave, connection)

    async def _replace(self) -> None:
        """Errors are ignored: the next mail opens its own connection and reports them."""
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            self._await_a_mail(await self._connected(Dialogue()))

    def _drop(self, connection: _Connection, error: BaseException) -> None:
        if isinstance(error, aiosmtplib.SMTPResponseException):
            self._say_goodbye(connection)
        else:
            connection.smtp.close()  # no QUIT: in the middle of a command it could pass for the rest of it

    def _leave(self, connection: _Connection) -> None:
        connection.stay()
        self._kept.remove(connection)
        self._say_goodbye(connection)

    def _say_goodbye(self, connection: _Connection) -> None:
        """In the background: a slow QUIT delays no mail."""
        _in_background(self._goodbyes, connection.quit())


async def _result_of(compose: Callable[[], bytes]) -> bytes:
    return compose()


def _in_background(tasks: set[asyncio.Task[None]], work: Coroutine[None, None, None]) -> None:
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


class _Connection:
    def __init__(self, settings: NotifierSettings) -> None:
        self._settings = settings
        self.smtp = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            local_hostname=settings.helo_name or None,
            use_tls=settings.smtp_security == "tls",
            start_tls=False,  # `open` does it, and records the stage
            timeout=settings.smtp_timeout,
        )
        self.mails = 0
        self.leaving: asyncio.TimerHandle | None = None

    async def open(self, dialogue: Dialogue) -> None:
        """Connects; starts TLS and logs in if configured. Raises what aiosmtplib raises."""
        dialogue.stage = "connect"
        try:
            await self.smtp.connect()
        except aiosmtplib.SMTPConnectError as error:
            if isinstance(error.__cause__, ssl.SSLError):
                dialogue.stage = "TLS"
            raise
        await self._greet(dialogue)
        if self._settings.smtp_security == "starttls":
            await self._start_tls(dialogue)
        if self._settings.smtp_username is not None:
            await self._log_in(dialogue, self._settings.smtp_username)

    async def _greet(self, dialogue: Dialogue) -> None:
        if not self.smtp.is_ehlo_or_helo_needed:
            return
        dialogue.stage = "EHLO"
        try:
            await self.smtp.ehlo()
        except aiosmtplib.SMTPHeloError:
            if not self.smtp.is_connected:
                raise
            await self.smtp.helo()

    async def _start_tls(self, dialogue: Dialogue) -> None:
        dialogue.stage = "TLS"
        if not self.smtp.supports_extension("starttls"):
            raise aiosmtplib.SMTPNotSupported("the mail server offers no STARTTLS")
        await self.smtp.starttls()
        await self._greet(dialogue)

    async def _log_in(self, dialogue: Dialogue, username: str) -> None:
        dialogue.stage = "AUTH"
        if not self.smtp.supported_auth_methods:
            raise aiosmtplib.SMTPNotSupported("the mail server offers no login, or none that is known here")
        password = self._settings.smtp_password
        await self.smtp.login(username, password.get_secret_value() if password else "")

    def stay(self) -> None:
        if self.leaving is not None:
            self.leaving.cancel()

    async def quit(self) -> None:
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self.smtp.quit()
        self.smtp.close()
