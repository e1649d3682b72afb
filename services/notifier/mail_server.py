"""Connections to the mail server, kept between mails: to make one costs more than to send a mail over it.

1. A connection carries one mail at a time, and is kept only if that mail was taken. After a refusal, a time-out or
   anything else that went wrong, the next mail gets another one.
2. It is kept for KEPT_SECONDS without a mail, and for MOST_MAILS in all: then we leave before the server, or something
   on the way to it, forgets us. The last one that is left for its many mails is replaced at once, before a mail needs
   it; a mail that comes meanwhile waits for it, REPLACING_SECONDS at most.
3. A server may leave at any moment all the same. A connection that is gone at the first command of a mail has heard
   nothing of it, so the mail goes by another one at once.
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

KEPT_SECONDS = 20.0
MOST_MAILS = 100
GOODBYE_SECONDS = 1.0
REPLACING_SECONDS = 1.0

_CLOSING = 421


class MailServer:
    def __init__(self, settings: NotifierSettings) -> None:
        self.reach = Reach()
        self._settings = settings
        # The one that was used last is used next: what a quiet time does not need is left after KEPT_SECONDS.
        self._kept: list[_Connection] = []
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._replacements: set[asyncio.Task[None]] = set()

    async def send(self, compose: Callable[[], bytes], dialogue: Dialogue, turn: Turn) -> None:
        """Returns once the server has taken it; whoever loses patience cancels. Raises what aiosmtplib raises.

        `dialogue` names the recipient, and knows afterwards how far it came. The mail is composed while the server
        answers the first command, which does not need it.
        """
        composing = asyncio.create_task(_result_of(compose))
        connection = await self._with_a_mail_begun(dialogue)
        try:
            mail = await composing
            turn.begin()
            dialogue.stage = "RCPT"
            # Not beyond this: a mail that is left while the server decides about it may be sent twice.
            async with asyncio.timeout(turn.patience):
                # Given apart from the header: a comma in `To` would make two recipients of one.
                await connection.smtp.rcpt(dialogue.recipient)
            dialogue.stage = "DATA"
            await connection.smtp.data(mail)
        except BaseException as error:
            self._drop(connection, error)
            raise
        self._keep(connection)

    async def probe(self, dialogue: Dialogue) -> None:
        """Make a connection and leave it. Raises what aiosmtplib raises."""
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
        """Greeted, and logged in where that is demanded: what the server says so far is about us, and not a mail."""
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
        """After a mail that the server has taken. One that it refuses says nothing of the server."""
        self.reach.note(good=True)
        connection.mails += 1
        if connection.mails < MOST_MAILS:
            self._await_a_mail(connection)
        else:
            self._say_goodbye(connection)
            if not self._kept:
                _beside(self._replacements, self._replace())

    def _await_a_mail(self, connection: _Connection) -> None:
        self._kept.append(connection)
        connection.leaving = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._leave, connection)

    async def _replace(self) -> None:
        """Of what goes wrong the next mail will hear: it makes itself one."""
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            self._await_a_mail(await self._connected(Dialogue()))

    def _drop(self, connection: _Connection, error: BaseException) -> None:
        if isinstance(error, aiosmtplib.SMTPResponseException):
            self._say_goodbye(connection)
        else:
            connection.smtp.close()  # in the middle of something: it would take a QUIT for the rest of that

    def _leave(self, connection: _Connection) -> None:
        connection.stay()
        self._kept.remove(connection)
        self._say_goodbye(connection)

    def _say_goodbye(self, connection: _Connection) -> None:
        """Beside what comes next: nobody waits for a server that is slow to let us go."""
        _beside(self._goodbyes, connection.quit())


async def _result_of(compose: Callable[[], bytes]) -> bytes:
    return compose()


def _beside(tasks: set[asyncio.Task[None]], work: Coroutine[None, None, None]) -> None:
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


class _Connection:
    """`leaving` is when it will have been without a mail for too long."""

    def __init__(self, settings: NotifierSettings) -> None:
        self._settings = settings
        self.smtp = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            local_hostname=settings.helo_name or None,
            use_tls=settings.smtp_security == "tls",
            start_tls=False,  # by `open`, which knows of each step
            timeout=settings.smtp_timeout,
        )
        self.mails = 0
        self.leaving: asyncio.TimerHandle | None = None

    async def open(self, dialogue: Dialogue) -> None:
        """As far as TLS and the login, where they are demanded. Raises what aiosmtplib raises."""
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
