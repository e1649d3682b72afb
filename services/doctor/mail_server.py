"""The mail server: connects, starts TLS, greets and logs in as the notifier does. No mail is sent."""

from __future__ import annotations

from services.doctor.findings import Finding, fail, ok
from services.notifier.channel import DeliveryFailed
from services.notifier.http import HttpChannel
from services.notifier.reach import Reach
from services.notifier.settings import NotifierSettings
from services.notifier.smtp import SmtpChannel

_SECONDS = 2.5


async def mail_server(settings: NotifierSettings) -> list[Finding]:
    if settings.notifier_channel == "file":
        return [ok("mail-server", "NOTIFIER_CHANNEL", "file: no mail is sent")]
    if settings.notifier_channel == "http":
        return [await _answers(settings)]
    first, *others = settings.mail_servers()
    return [await _examined("SMTP_HOST", first), *[await _examined("SMTP_RELAYS", each) for each in others]]


async def _answers(settings: NotifierSettings) -> Finding:
    where = f"MAIL_HTTP_URL ({settings.mail_http_url})"
    channel = HttpChannel(settings.model_copy(update={"smtp_timeout": min(settings.smtp_timeout, _SECONDS)}))
    try:
        await channel.probe()
    except DeliveryFailed as error:
        return fail("mail-server", where, str(error), "docs/mail.md explains it")
    finally:
        await channel.close()
    return ok("mail-server", where, "answers; what it says to a mail, login2fa mail test shows")


async def _examined(setting: str, settings: NotifierSettings) -> Finding:
    where = f"{setting} ({settings.smtp_host}:{settings.smtp_port})"
    timeout = {"smtp_timeout": min(settings.smtp_timeout, _SECONDS)}
    channel = SmtpChannel(settings.model_copy(update=timeout), Reach())
    try:
        await channel.probe()
    except DeliveryFailed as error:
        return fail("mail-server", where, str(error), "docs/mail.md explains each stage")
    finally:
        await channel.close()
    login = "takes our login" if settings.smtp_username else "is used without a login"
    return ok("mail-server", where, f"greets us (SMTP_SECURITY={settings.smtp_security}), and {login}")
