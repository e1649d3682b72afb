"""`login2fa mail ...`: tests the connection to the mail server with the notifier's settings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from services.command_run import fail, load_settings, run

if TYPE_CHECKING:
    from services.notifier.settings import NotifierSettings


def add_to(app: typer.Typer) -> None:
    mail = typer.Typer(no_args_is_help=True, help="The way to the mail server.")
    mail.command("test")(send_test)
    app.add_typer(mail, name="mail")


def send_test(address: Annotated[str, typer.Argument(help="Who gets the mail")]) -> None:
    """Send one mail as the notifier does, and say what the mail server answered, at which stage, and where to look."""
    from services.notifier.channel import DeliveryFailed
    from services.notifier.settings import NotifierSettings
    from shared.mail_address import AddressInvalid
    from shared.observability import logs

    settings = load_settings(NotifierSettings)
    logs.configure("mail test", "error", StringIO())  # the log would repeat this command's output
    try:
        run(_send(settings, address))
    except AddressInvalid as error:
        fail(f"ADDRESS: {error}")
    except DeliveryFailed as error:
        fail(f"Not sent. {error}")
    taken = "The mail server has taken the mail. Whether it arrives is seen in the mailbox: look among the spam, too"
    written = f"No mail is sent with NOTIFIER_CHANNEL=file: its line is in {settings.otp_log_file}.notices"
    typer.echo(written if settings.notifier_channel == "file" else taken)


async def _send(settings: NotifierSettings, address: str) -> None:
    """As the notifier does, with its settings. Raises `AddressInvalid`, `DeliveryFailed`."""
    from services.notifier.app import channel_of
    from services.notifier.channel import Notice
    from services.notifier.turns import Turn
    from shared.mail_address import one_address

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
