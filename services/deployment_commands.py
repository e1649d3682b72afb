"""Commands that prepare a deployment: secrets, roles, schemas, demo accounts. Each can be run again at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from services.command_run import broker_url, database_url, fail, load_settings, run


def secrets(
    folder: Annotated[Path, typer.Option("--dir", help="Folder that gets one file per secret")],
    group_readable: Annotated[
        bool, typer.Option("--group-readable", help="The folder's group, too, may read what Postgres and RabbitMQ read")
    ] = False,
    postgres: Annotated[str, typer.Option(help="Host, or host:port, for the database URLs")] = "postgres",
    database: Annotated[str, typer.Option(help="Name of the database in them")] = "login2fa",
    rabbitmq: Annotated[str, typer.Option(help="Host, or host:port, for the AMQP URLs")] = "rabbitmq",
    tls: Annotated[bool, typer.Option("--tls", help="The URLs ask for TLS, as REQUIRE_TLS wants it")] = False,
    authority: Annotated[
        str | None, typer.Option(help="With --tls: file of your own authority's certificate, where the processes run")
    ] = None,
) -> None:
    """Make every secret that a deployment needs and the folder lacks; what is there stays as it is."""
    from deploy.rabbitmq.definitions import UrlInvalid
    from deploy.secret_files import Servers, write_missing

    if authority and not tls:
        fail("--authority goes with --tls: without TLS nobody shows a certificate.")
    servers = Servers(postgres=postgres, database=database, rabbitmq=rabbitmq, tls=tls, authority=authority)
    try:
        made = write_missing(folder, servers, group_readable=group_readable)
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "a file in it is no text"
        fail(f"Cannot use {getattr(error, 'filename', None) or folder}: {said}")
    except UrlInvalid as error:
        fail(str(error))
    for path in made:
        typer.echo(f"written: {path}")
    typer.echo(f"{folder}: complete")


def broker_users(
    folder: Annotated[Path, typer.Option("--dir", help="Folder with the four broker URLs, as `secrets` makes it")],
    group_readable: Annotated[
        bool, typer.Option("--group-readable", help="The folder's group, too, may read the file")
    ] = False,
    rabbitmqctl: Annotated[
        bool, typer.Option("--rabbitmqctl", help="Print commands instead, passwords included: pipe them into sh")
    ] = False,
) -> None:
    """Write the definitions that RabbitMQ loads: a user for each process, what it may do, exchanges and queues."""
    from deploy.rabbitmq import commands, definitions
    from deploy.secret_files import broker_urls, write_definitions

    try:
        if rabbitmqctl:
            typer.echo(commands.rabbitmqctl_commands(definitions.broker_users(broker_urls(folder))), nl=False)
            return
        made = write_definitions(folder, group_readable=group_readable)
    except OSError as error:
        fail(f"Cannot use {error.filename or folder}: {error.strerror}")
    except (UnicodeDecodeError, definitions.UrlInvalid) as error:
        fail(str(error) if isinstance(error, definitions.UrlInvalid) else f"Cannot use {folder}: a file is no text")
    typer.echo(f"written: {made[0]}" if made else f"{folder}: up to date")


def broker_consumer(
    name: Annotated[str, typer.Argument(help="Of the program that listens: a lower-case word")],
    folder: Annotated[Path, typer.Option("--dir", help="Folder with the broker URLs; it gets the URL of the new user")],
    queues: Annotated[int, typer.Option(min=1, max=100, help="One for each program that keeps what it hears")] = 1,
    audit: Annotated[bool, typer.Option("--audit", help="Also queues for the audit trail")] = False,
) -> None:
    """Print definitions for `rabbitmqctl import_definitions`: a user that reads public events from its own queues."""
    import json

    from deploy.rabbitmq import consumers
    from deploy.rabbitmq.definitions import UrlInvalid

    if not consumers.NAME.fullmatch(name):
        fail(f"NAME {name!r}: a lower-case letter, then letters, digits and _, 41 characters at most")
    try:
        url, made = consumers.url_of(folder, name)
    except OSError as error:
        fail(f"Cannot use {error.filename or folder}: {error.strerror}")
    except (UnicodeDecodeError, UrlInvalid) as error:
        fail(str(error) if isinstance(error, UrlInvalid) else f"Cannot use {folder}: a file is no text")
    typer.echo(json.dumps(consumers.definitions(name, url, queues=queues, audit=audit), indent=1))
    typer.echo(f"written: {made}" if made else f"{folder}: its URL is there", err=True)


def topology() -> None:
    """Declare exchanges, queues and bindings, and compare what is there: ADMIN_RABBITMQ_URL, of one who may."""
    from shared.messaging.amqp.broker import declare_topology

    run(declare_topology(broker_url("ADMIN_RABBITMQ_URL")))
    typer.echo("topology: up to date")


def roles() -> None:
    """Make the Postgres roles and schemas: ADMIN_DATABASE_URL; the roles' own URLs hold the passwords."""
    from deploy.postgres.roles import NAMES, RolesRefused, ensure_roles

    admin = database_url("ADMIN_DATABASE_URL")
    urls = {role: database_url(f"{role.upper()}_DATABASE_URL") for role in NAMES}
    try:
        warnings = run(ensure_roles(admin, urls))
    except RolesRefused as error:
        fail(str(error))
    for warning in warnings:
        typer.echo(warning)
    typer.echo("roles: up to date")


def migrate(
    service: Annotated[Literal["auth", "users"] | None, typer.Argument(help="Both, when left out")] = None,
) -> None:
    """Bring the schemas up to date: MIGRATOR_DATABASE_URL, whose role owns them."""
    from services.migrate import migrate as upgrade
    from shared.database.migrations import SchemaRefused

    url = database_url("MIGRATOR_DATABASE_URL")
    services: list[Literal["auth", "users"]] = [service] if service else ["auth", "users"]
    for each in services:
        try:
            run(upgrade(each, url))
        except SchemaRefused as error:
            fail(str(error))
        typer.echo(f"{each}: up to date")


def demo_accounts() -> None:
    """With DEMO=1 make the demo accounts, whose passwords everybody knows; without it no administrator has one."""
    from deploy.demo_accounts import DEMO_ACCOUNTS, DemoAccountsLeft, create_demo_accounts, refuse_demo_accounts
    from services.users.settings import UsersSettings
    from shared.configuration.settings import DemoSettings

    if not load_settings(DemoSettings).demo:
        try:
            run(refuse_demo_accounts(database_url("USERS_DATABASE_URL")))
        except DemoAccountsLeft as left:
            fail(str(left))
        typer.echo("demo accounts: DEMO is off, and no administrator has the password of one")
        return
    run(create_demo_accounts(load_settings(UsersSettings)))
    for account in DEMO_ACCOUNTS:
        typer.echo(f"demo account: {account}")


def add_to(app: typer.Typer) -> None:
    for command in (secrets, roles, topology, migrate, broker_users, broker_consumer, demo_accounts):
        app.command()(command)
