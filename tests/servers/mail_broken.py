"""Mail servers that are broken, each in a way of its own, and what a notifier is told to find them by.

`BROKEN` has them by what is wrong: the settings to be given, and what has to be in the sentence about it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.mail import HANG_UP, SILENCE, MailSink, Stage
from tests.servers.ports import free_ports
from tests.servers.pretending_smtp import PretendingSmtp, pretending
from tests.servers.tls_mail import USERNAME, TlsMailSink, self_signed

PASSWORD = "the-password"
PATIENCE = "3"  # seconds, for the ones that say nothing; the others answer at once

Settings = dict[str, str]
Server = Callable[[Path], AbstractAsyncContextManager[Settings]]


@dataclass(frozen=True, slots=True)
class Broken:
    """`run`, in a folder of its own, is the server. `said` begins with the stage; `look_at` are settings."""

    run: Server
    said: str
    look_at: tuple[str, ...]


@asynccontextmanager
async def _nobody(_folder: Path) -> AsyncIterator[Settings]:
    yield {"SMTP_PORT": str(free_ports(1)[0]), "SMTP_SECURITY": "none"}


@asynccontextmanager
async def _no_name(_folder: Path) -> AsyncIterator[Settings]:
    yield {"SMTP_HOST": "mail.invalid", "SMTP_SECURITY": "none"}


def _refusing(reply: str, stage: Stage, *, security: str = "none") -> Server:
    @asynccontextmanager
    async def run(_folder: Path) -> AsyncIterator[Settings]:
        async with MailSink() as sink:
            sink.refuse(reply, at=stage)
            yield {"SMTP_PORT": str(sink.port), "SMTP_SECURITY": security, "SMTP_TIMEOUT": PATIENCE}

    return run


def _pretending(server: PretendingSmtp) -> Server:
    @asynccontextmanager
    async def run(_folder: Path) -> AsyncIterator[Settings]:
        like = PretendingSmtp(starttls=server.starttls, offers=server.offers)
        async with pretending(like) as listening:
            yield {"SMTP_PORT": str(listening.port), "SMTP_SECURITY": "starttls"}

    return run


def _relay(*, trusted: bool) -> Server:
    """With another password than the one that is shown."""

    @asynccontextmanager
    async def run(folder: Path) -> AsyncIterator[Settings]:
        certificate = self_signed(folder)
        async with TlsMailSink(certificate, PASSWORD) as sink:
            known = {"SSL_CERT_FILE": str(certificate)} if trusted else {}
            login = {"SMTP_USERNAME": USERNAME, "SMTP_PASSWORD": "an-old-password"}
            yield {"SMTP_PORT": str(sink.port), "SMTP_SECURITY": "starttls", **login, **known}

    return run


HELO_WANTED = "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname"
BROKEN = {
    "no server": Broken(_nobody, "connect: 127.0.0.1:", ("SMTP_HOST", "SMTP_PORT")),
    "no such host": Broken(_no_name, "connect: mail.invalid has no address (", ("SMTP_HOST",)),
    "silent": Broken(
        _refusing(SILENCE, "CONNECT"), "connect: no answer in time.", ("SMTP_HOST", "SMTP_PORT", "SMTP_SECURITY=tls")
    ),
    "hangs up": Broken(
        _refusing(HANG_UP, "CONNECT"), "connect: the mail server closed", ("SMTP_HOST", "SMTP_PORT", "SMTP_SECURITY")
    ),
    "takes no connection from here": Broken(
        _refusing("554 5.7.1 Not from a dynamic address", "CONNECT"),
        'connect: the mail server says "554 5.7.1 Not from a dynamic address".',
        ("SMTP_HOST", "SMTP_PORT"),
    ),
    "plain where TLS is to begin": Broken(
        _refusing("220 hello", "CONNECT", security="tls"), "TLS: TLS did not begin (", ("SMTP_PORT", "SMTP_SECURITY")
    ),
    "without STARTTLS": Broken(
        _pretending(PretendingSmtp(offers=(b"AUTH PLAIN",))),
        "TLS: the mail server offers no STARTTLS.",
        ("SMTP_SECURITY", "SMTP_PORT"),
    ),
    "no TLS for now": Broken(
        _pretending(PretendingSmtp()),
        'TLS: the mail server says "454 4.7.0 TLS not available".',
        ("SMTP_SECURITY", "SMTP_PORT"),
    ),
    "another's certificate": Broken(
        _relay(trusted=False), "TLS: the certificate is not accepted (self", ("SMTP_HOST", "SSL_CERT_FILE")
    ),
    "wants another name": Broken(
        _refusing("501 5.5.4 Invalid domain name", "EHLO"),
        'EHLO: the mail server says "501 5.5.4 Invalid domain name".',
        ("SMTP_HELO_NAME", "login2fa.example"),
    ),
    "wants another password": Broken(
        _relay(trusted=True), 'AUTH: the mail server says "535 5.7.8 ', ("SMTP_USERNAME", "SMTP_PASSWORD")
    ),
    "wants a login": Broken(
        _refusing("530 5.7.0 Authentication required", "MAIL"),
        'MAIL: the mail server says "530 5.7.0 Authentication required".',
        ("SMTP_USERNAME", "SMTP_PASSWORD"),
    ),
    "wants another sender": Broken(
        _refusing("553 5.7.1 <login@login2fa.example>: not yours", "MAIL"),
        'MAIL: the mail server says "553 5.7.1 (address) not yours".',
        ("MAIL_FROM",),
    ),
    "wants another name, and says so late": Broken(
        _refusing(HELO_WANTED, "RCPT"),
        'RCPT: the mail server says "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname".',
        ("SMTP_HELO_NAME", "login2fa.example"),
    ),
    "sends nothing on": Broken(
        _refusing("554 5.7.1 <ann@example.org>: Relay access denied", "RCPT"),
        'RCPT: the mail server says "554 5.7.1 (address) Relay access denied".',
        ("SMTP_USERNAME", "SMTP_HOST"),
    ),
    "does not know the recipient": Broken(
        _refusing("550 5.1.1 <ann@example.org>: User unknown", "RCPT"),
        'RCPT: the mail server says "550 5.1.1 (address) User unknown".',
        ("MAIL_FROM", "SMTP_USERNAME"),
    ),
    "is busy": Broken(_refusing("450 4.2.1 Busy", "RCPT"), 'RCPT: the mail server says "450 4.2.1 Busy".', ("log",)),
    "takes no such text": Broken(
        _refusing("554 5.7.1 Spam: 519273", "DATA"),
        'DATA: the mail server says "554 5.7.1 Spam: (number)".',
        ("MAIL_FROM", "SMTP_USERNAME"),
    ),
    "drops it at the end": Broken(_refusing(HANG_UP, "DATA"), "DATA: the mail server closed the connection.", ("log",)),
}
