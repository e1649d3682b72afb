"""The command line `login2fa`. A command is thin: it loads settings, makes one call and prints a sentence."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from services import (
    deployment_commands,
    doctor_commands,
    mail_commands,
    passwords_commands,
    restored_commands,
    users_commands,
)
from services.command_run import broker_url, database_url, fail, load_settings
from services.command_run import run as run_to_end
from shared.version import VERSION

if TYPE_CHECKING:
    from services.auth.settings import KeySettings

app = typer.Typer(name="login2fa", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
auth_app = typer.Typer(help="Run the auth service; or, with a command, let somebody in again.")
keys_app = typer.Typer(no_args_is_help=True, help="Signing keys, sealing keys, MAC keys.")
users_app = typer.Typer(help="Run the users service; or, with a command, administer accounts.")
dead_letters_app = typer.Typer(no_args_is_help=True, help="Messages that were given up. No secret is ever shown.")
config_app = typer.Typer(no_args_is_help=True, help="Settings.")
app.add_typer(auth_app, name="auth")
app.add_typer(keys_app, name="keys")
app.add_typer(users_app, name="users")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(config_app, name="config")

# Seconds until all know a new key: folder reread 5, caches 300, next fetch by users 300, sync to pods 120, reserve.
_LEAD = 900

KeysDir = Annotated[Path | None, typer.Option("--dir", help="Folder of PEM files; JWT_KEYS_DIR, when left out")]
Queue = Annotated[str | None, typer.Option(help="Only the letters of this work queue")]
EventId = Annotated[str | None, typer.Option(help="Only the letter of this event")]


def main() -> None:
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"login2fa {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version, and end")
    ] = False,
) -> None:
    """Login with two factors."""


@auth_app.callback(invoke_without_command=True)
def auth(context: typer.Context) -> None:
    """Run the auth service; or, with a command, let somebody in again."""
    if context.invoked_subcommand is not None:
        return
    from services.auth.app import running
    from services.auth.settings import AuthSettings
    from services.run import run_with_broker

    run_to_end(run_with_broker("auth", load_settings(AuthSettings), running))


@users_app.callback(invoke_without_command=True)
def users(context: typer.Context) -> None:
    """Run the users service; or, with a command, administer accounts."""
    if context.invoked_subcommand is not None:
        return
    from services.run import run_with_broker
    from services.users.app import running
    from services.users.settings import UsersSettings

    run_to_end(run_with_broker("users", load_settings(UsersSettings), running))


@auth_app.command()
def unlock(username: Annotated[str, typer.Option()]) -> None:
    """Let an account in again: forget its wrong codes, and the wrong passwords for its name. AUTH_DATABASE_URL."""
    from services.auth.login.unlock import unlock_name

    run_to_end(unlock_name(database_url("AUTH_DATABASE_URL"), username))
    typer.echo(f"{username} may log in again")


@auth_app.command()
def reset_factors(username: Annotated[str, typer.Option()]) -> None:
    """Take the authenticator app, the passkeys and the recovery codes from an account. All its sessions end."""
    from services.auth.factors.reset import reset_factors_of_name
    from services.auth.settings import AuthSettings

    by_mail = run_to_end(reset_factors_of_name(load_settings(AuthSettings), username))
    left = "codes by mail are its only second factor" if by_mail else "it has no second factor"
    typer.echo(f"{username} has lost its factors, and all sessions have ended; {left}")


@app.command()
def notifier() -> None:
    """Run the notifier."""
    from services.notifier.app import running
    from services.notifier.settings import NotifierSettings
    from services.run import run_with_broker

    run_to_end(run_with_broker("notifier", load_settings(NotifierSettings), running))


@app.command()
def portal() -> None:
    """Run the portal: pages for people, in a browser."""
    from services.portal.app import running
    from services.portal.settings import PortalSettings
    from services.run import run

    settings = load_settings(PortalSettings)
    run_to_end(run("portal", settings, running(settings)))


@app.command()
def up(
    port: Annotated[int, typer.Option(envvar="PORT", min=0, max=65535, help="0 takes a free one")] = 8201,
    state_dir: Annotated[Path, typer.Option(envvar="STATE_DIR", help="Everything is kept here")] = Path(".local"),
    demo: Annotated[bool, typer.Option(envvar="DEMO", help="Create the demo accounts")] = True,
) -> None:
    """Run everything in one process, with an embedded Postgres: for a newcomer, on a bare machine."""
    from deploy.standalone.up import CannotStart, up

    try:
        run_to_end(up(port=port, state_dir=state_dir, demo=demo))
    except CannotStart as error:
        fail(str(error))


deployment_commands.add_to(app)
mail_commands.add_to(app)
passwords_commands.add_to(app)
doctor_commands.add_to(app)
restored_commands.add_to(app)


@keys_app.command()
def generate(folder: KeysDir = None) -> None:
    """Make the first signing key (ES256); it signs at once."""
    from services.auth.tokens.keys import generate as make

    folder = _key_settings(folder).jwt_keys_dir
    if any(folder.glob("*.pem")):
        fail(f"{folder} holds a key already; to replace it: login2fa keys rotate")
    try:
        typer.echo(f"written: {make(folder)}")
    except OSError as error:
        fail(f"Cannot write to {folder}: {error.strerror}")


@keys_app.command()
def rotate(
    folder: KeysDir = None,
    lead: Annotated[
        int, typer.Option(min=0, help="Seconds for which the new key is published before it signs")
    ] = _LEAD,
    keep: Annotated[
        int | None,
        typer.Option(min=0, help="Days for which a superseded key verifies; else a day longer than any token lives"),
    ] = None,
) -> None:
    """Add the next signing key, and remove those superseded long ago. Running services notice by themselves.

    How long that is, ACCESS_TOKEN_LIFETIME and REFRESH_TOKEN_LIFETIME say, as auth has them.
    """
    from services.auth.tokens.rotation import kept_for
    from services.auth.tokens.rotation import rotate as turn

    settings = _key_settings(folder)
    folder = settings.jwt_keys_dir
    lifetimes = settings.access_token_lifetime, settings.refresh_token_lifetime
    kept = timedelta(days=keep) if keep is not None else kept_for(*lifetimes)
    try:
        rotation = turn(folder, lead=lead, keep=kept)
    except OSError as error:
        fail(f"Cannot write to {folder}: {error.strerror}")
    when = f"(signs from {rotation.signs_from:%Y-%m-%d %H:%M:%S} UTC)"
    typer.echo(f"written: {rotation.made} {when}" if rotation.made else f"the next key is there already {when}")
    for path in rotation.removed:
        typer.echo(f"removed: {path}")


def _key_settings(folder: Path | None) -> KeySettings:
    from services.auth.settings import KeySettings

    settings: KeySettings = load_settings(KeySettings, jwt_keys_dir=folder)
    return settings


@keys_app.command()
def sealing() -> None:
    """Print a new key: for any of the settings ..._SEALING_KEYS, ..._PEPPERS and ..._TO_..._KEYS."""
    from cryptography.fernet import Fernet

    typer.echo(Fernet.generate_key().decode())


users_commands.add_to(users_app)


@dead_letters_app.command("list")
def list_dead_letters(queue: Queue = None) -> None:
    """One line per letter: when, which queue, event, attempts, reason."""
    from shared.messaging.amqp import dead_letters

    letters = run_to_end(dead_letters.list(broker_url("OPERATOR_RABBITMQ_URL"), queue))
    for letter in letters:
        typer.echo(
            f"{letter.died_at}  {letter.queue}  {letter.event_type}  {letter.event_id}"
            f"  attempts={letter.attempts}  {letter.size} bytes  {letter.reason}"
        )
    typer.echo(f"{len(letters)} dead letters")


@dead_letters_app.command()
def replay(queue: Queue = None, event_id: EventId = None) -> None:
    """Put letters back into their work queue."""
    from shared.messaging.amqp import dead_letters

    replayed = run_to_end(dead_letters.replay(broker_url("OPERATOR_RABBITMQ_URL"), queue, event_id=event_id))
    typer.echo(f"{replayed} replayed")


@dead_letters_app.command()
def purge(
    queue: Queue = None,
    event_id: EventId = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Remove letters for good."""
    from shared.messaging.amqp import dead_letters

    url = broker_url("OPERATOR_RABBITMQ_URL")
    if not yes:
        typer.confirm("Remove these dead letters for good?", abort=True)
    typer.echo(f"{run_to_end(dead_letters.purge(url, queue, event_id=event_id))} removed")


@config_app.command()
def check(service: Annotated[Literal["auth", "users", "notifier", "portal"], typer.Argument()]) -> None:
    """Say whether SERVICE would start with this environment, and with what; of a secret, that it is set."""
    from services.auth.settings import AuthSettings, KeySettings
    from services.auth.tokens.keys import KeyRing, KeysInvalid
    from services.configuration import SETTINGS, as_lines

    settings = load_settings(SETTINGS[service])
    try:
        if isinstance(settings, KeySettings):
            KeyRing(settings.jwt_keys_dir)
    except KeysInvalid as error:
        fail(f"Settings not valid. JWT_KEYS_DIR: {error}")
    for line in as_lines(settings):
        typer.echo(line)
    if isinstance(settings, AuthSettings):
        typer.echo(settings.relying_party or "There are no passkeys.", err=True)


@config_app.command()
def table() -> None:
    """Print the tables of docs/configuration.md."""
    from services.configuration import tables

    typer.echo(tables())
