"""`login2fa mail ...`: tests the connection to the mail server with the notifier's settings."""

from __future__ import annotations

from io import StringIO
from typing import Annotated

import typer

from services.command_run import fail, load_settings, run


def add_to(app: typer.Typer) -> None:
    mail = typer.Typer(no_args_is_help=True, help="The way to the mail server.")
    mail.command("test")(send_test)
    app.add_typer(mail, name="mail")


def send_test(address: Annotated[str, typer.Argument(help="Who gets the mail")]) -> None:
    """Send one mail as the notifier does, and say what the mail server answered, at which stage, and where to look."""
    from services.notifier.channel import DeliveryFailed
    from services.notifier.settings import NotifierSettings
    from services.notifier.trial import send_test as send
    from shared.mail_address import AddressInvalid
    from shared.observability import logs

    settings = load_settings(NotifierSettings)
    logs.configure("mail test", "error", StringIO())  # the log would repeat this command's output
    try:
        typer.echo(run(send(settings, address)))
    except AddressInvalid as error:
        fail(f"ADDRESS: {error}")
    except DeliveryFailed as error:
        fail(f"Not sent. {error}")
