"""Explains mail failures for logs, dead letters and `/readyz`: stage, reply, advice. No personal address, no code."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import ssl
from dataclasses import dataclass, field
from socket import gaierror
from typing import Literal

import aiosmtplib

from services.notifier.server_words import quoted
from services.notifier.settings import NotifierSettings

Stage = Literal["connect", "TLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]

# Replies about our login (RFC 4954 section 6).
CREDENTIALS = {530, 534, 535, 538}
PERMANENT = 500

# Many servers refuse HELO, sender or client only at RCPT or DATA. Codes: RFC 3463, 7372, 7505; texts: usual servers.
_OF_HELO = re.compile(r"\b(?:helo|ehlo)\b", re.IGNORECASE)
_OF_SENDER = re.compile(
    r"^5\.(?:1\.[78]|7\.2[0-7])\b|sender (?:address )?(?:rejected|denied|not allowed)", re.IGNORECASE
)
_OF_CLIENT = re.compile(
    r"client host rejected|not authenticated|authentication (?:is )?required|unable to relay"
    r"|relay(?:ing)?\b.{0,30}\b(?:denied|not permitted|prohibited)",
    re.IGNORECASE,
)
_READ = 1000  # characters of a reply
_LONGEST_NAME = 50

_SENDER = "Look at MAIL_FROM, and at SPF and DKIM of its domain"
_CLIENT = "It does not send mail for us: look at SMTP_USERNAME and SMTP_HOST"
_PASSES = "It may pass; if it lasts, look into the log of the mail server"
_LOGIN = "Look at SMTP_USERNAME and SMTP_PASSWORD"
# For a permanent refusal without a known cause.
_REFUSED: dict[Stage, str] = {
    "MAIL": _SENDER,
    "RCPT": "It is about one recipient; if it happens to all, look at MAIL_FROM and SMTP_USERNAME",
    "DATA": "It is about one mail; if it happens to all, look at MAIL_FROM and SMTP_USERNAME",
}


@dataclass(slots=True)
class Dialogue:
    recipient: str = ""
    code: str = field(default="", repr=False)
    stage: Stage = "connect"


def explain(error: BaseException, dialogue: Dialogue, settings: NotifierSettings) -> str:
    """`error` is from aiosmtplib or the operating system; CancelledError means a time-out of the caller."""
    cause = error
    if isinstance(error, aiosmtplib.SMTPConnectError) and error.__cause__ is not None:
        cause = error.__cause__
    if isinstance(cause, aiosmtplib.SMTPResponseException):
        happened = _answered(cause, dialogue, settings)
    else:
        happened = _broken_off(cause, settings)
    return f"{dialogue.stage}: {happened}. {_advice(dialogue.stage, cause, settings)}"


def is_about_us(said: str) -> bool:
    """Whether a reply to RCPT or DATA is about our name, sender or host, and not about this mail."""
    return any(kind.search(said[:_READ]) for kind in (_OF_HELO, _OF_SENDER, _OF_CLIENT))


def _answered(reply: aiosmtplib.SMTPResponseException, dialogue: Dialogue, settings: NotifierSettings) -> str:
    return f'the mail server says "{words(reply.code, reply.message, dialogue, settings)}"'


def words(code: int, message: str, dialogue: Dialogue, settings: NotifierSettings) -> str:
    """A reply of the mail server, safe for logs."""
    number = f"{code} " if code > 0 else ""  # aiosmtplib has -1 for a reply without a code
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
    return number + quoted(message, recipient=dialogue.recipient, password=password, code=dialogue.code)


def _broken_off(error: BaseException, settings: NotifierSettings) -> str:
    match error:
        case TimeoutError() | asyncio.CancelledError():
            happened = "no answer in time"
        case aiosmtplib.SMTPServerDisconnected():
            happened = "the mail server closed the connection"
        case aiosmtplib.SMTPException():
            happened = quoted(error.message)
        case ssl.SSLCertVerificationError():
            happened = f"the certificate is not accepted ({quoted(error.verify_message)})"
        case ssl.SSLError():
            happened = f"TLS did not begin ({(error.reason or 'no reason given').replace('_', ' ').lower()})"
        case gaierror():
            happened = f"{settings.smtp_host} has no address ({error.strerror})"
        case OSError() if error.errno in errno.errorcode:
            happened = f"{settings.smtp_host}:{settings.smtp_port} is out of reach ({os.strerror(error.errno or 0)})"
        case _:
            happened = quoted(str(error)) or type(error).__name__
    return happened


def _advice(stage: Stage, cause: BaseException, settings: NotifierSettings) -> str:
    match stage:
        case "connect":
            return _to_connect(cause, settings)
        case "TLS":
            return _to_begin_tls(cause, settings)
        case "EHLO":
            return _to_be_known(settings)
        case "AUTH":
            return _LOGIN
        case _:
            return _to_send(stage, cause, settings)


def _to_connect(cause: BaseException, settings: NotifierSettings) -> str:
    if isinstance(cause, gaierror):
        return "Look at SMTP_HOST"
    if isinstance(cause, aiosmtplib.SMTPResponseException) or settings.smtp_security == "tls":
        return "Look at SMTP_HOST and SMTP_PORT"
    return "Look at SMTP_HOST and SMTP_PORT; a port that begins with TLS, like 465, needs SMTP_SECURITY=tls"


def _to_begin_tls(cause: BaseException, settings: NotifierSettings) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "SMTP_HOST must be a name in it; the file of an authority of your own is SSL_CERT_FILE"
    if settings.smtp_security == "tls":
        return "Look at SMTP_PORT: one that begins in plain, like 587, needs SMTP_SECURITY=starttls"
    return "Look at SMTP_SECURITY and SMTP_PORT: starttls is usual at 587, tls at 465"


def _to_be_known(settings: NotifierSettings) -> str:
    return f"Look at SMTP_HELO_NAME: the name given was {settings.helo_name[:_LONGEST_NAME]}"


def _to_send(stage: Stage, cause: BaseException, settings: NotifierSettings) -> str:
    if not isinstance(cause, aiosmtplib.SMTPResponseException):
        return _PASSES
    if cause.code in CREDENTIALS:
        return _LOGIN
    reply = cause.message[:_READ]
    if _OF_HELO.search(reply):
        return _to_be_known(settings)
    for kind, known in ((_OF_SENDER, _SENDER), (_OF_CLIENT, _CLIENT)):
        if kind.search(reply):
            return known
    return _REFUSED[stage] if cause.code >= PERMANENT else _PASSES
