"""The mail server: connects, starts TLS, greets and logs in as the notifier does. No mail is sent."""

from __future__ import annotations

from services.doctor.findings import Finding, fail, ok
from services.notifier.channel import DeliveryFailed
from services.notifier.settings import NotifierSettings
from services.notifier.smtp import SmtpChannel

_SECONDS = 2.5


async def mail_server(settings: NotifierSettings) -> list[Finding]:
    if settings.notifier_channel == "file":
        return [ok("mail-server", "NOTIFIER_CHANNEL", "file: no mail is sent")]
    where = f"SMTP_HOST ({settings.smtp_host}:{settings.smtp_port})"
    channel = SmtpChannel(settings.model_copy(update={"smtp_timeout": min(settings.smtp_timeout, _SECONDS)}))
    try:
        await channel.probe()
    except DeliveryFailed as error:
        return [fail("mail-server", where, str(error), "docs/mail.md explains each stage")]
    finally:
        await channel.close()
    login = "takes our login" if settings.smtp_username else "is used without a login"
    return [ok("mail-server", where, f"greets us (SMTP_SECURITY={settings.smtp_security}), and {login}")]
