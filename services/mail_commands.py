"""`login2fa mail ...`: tests the connection to the mail server with the notifier's settings, and shows every mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from services.command_run import fail, load_settings, run

if TYPE_CHECKING:
    from services.notifier.settings import NotifierSettings


def add_to(app: typer.Typer) -> None:
    mail = typer.Typer(no_args_is_help=True, help="The way to the mail server, and the mails.")
    mail.command("test")(send_test)
    mail.command()(preview)
    app.add_typer(mail, name="mail")


def preview(
    to: Annotated[Path, typer.Option(file_okay=False, help="The folder for the files; made if it is not there")],
    lang: Annotated[str, typer.Option(help="The language of the mails")] = "en",
    templates: Annotated[
        Path | None, typer.Option(envvar="MAIL_TEMPLATES", file_okay=False, help="A folder of templates of your own")
    ] = None,
    site: Annotated[str, typer.Option(envvar="SITE_NAME", help="As the mails name your site")] = "Login2FA",
) -> None:
    """Write every mail as HTML, as text and as it is sent, with values that are made up."""
    from services.notifier.mails.own_templates import made_up, parts_of, refuse_bad_templates
    from services.notifier.mails.style import SHIPPED, Style, shipped_language

    language = shipped_language(lang) or fail(f"--lang: there are mails in {' and '.join(SHIPPED)}")
    try:
        if templates is not None:
            refuse_bad_templates(templates, site=site)
    except ValueError as error:
        fail(str(error))
    style = Style(language, templates)
    to.mkdir(parents=True, exist_ok=True)
    for name, composed, _ in made_up(style, site=site):
        (to / f"{name}.eml").write_bytes(composed)
        for kind, text in parts_of(composed).items():
            (to / f"{name}.{kind}").write_text(text)
    typer.echo(f"Every mail is in {to}, as .html, .txt and .eml")


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
