"""`login2fa mail test`: sends one mail as the notifier does, with its settings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.notifier.app import channel_of
from services.notifier.channel import Notice
from services.notifier.settings import NotifierSettings
from services.notifier.turns import Turn
from shared.mail_address import one_address


async def send_test(settings: NotifierSettings, address: str) -> str:
    """Returns a sentence that says where the mail is. Raises `AddressInvalid`, `DeliveryFailed`."""
    now = datetime.now(UTC)
    mail = Notice(
        event_id=str(uuid4()),
        correlation_id="login2fa mail test",
        email=one_address(address, reserved=settings.mail_reserved_domains),
        notice="mail_test",
        occurred_at=now,
        expires_at=now + timedelta(seconds=settings.smtp_timeout),
    )
    channel = channel_of(settings)
    try:
        await channel.deliver(mail, Turn(None))
    finally:
        await channel.close()
    if settings.notifier_channel == "file":
        return f"No mail is sent with NOTIFIER_CHANNEL=file: its line is in {settings.otp_log_file}.notices"
    return "The mail server has taken the mail. Whether it arrives is seen in the mailbox: look among the spam, too"
