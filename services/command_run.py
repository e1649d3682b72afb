"""How a command of the command line runs and ends: with 0, or with 2 and a sentence that says what to change."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn

import typer
import uvloop


def fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; what an operator can put right is told in a sentence, not in a traceback."""
    from socket import gaierror
    from ssl import SSLError

    from sqlalchemy.exc import DBAPIError

    from services.auth.keys import KeysInvalid
    from shared.broker.bus import BusError
    from shared.problems import Problem
    from shared.process import CannotListen

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except (CannotListen, KeysInvalid) as error:
        fail(str(error))
    except BusError as error:
        fail(f"Broker: {error}")
    except (DBAPIError, ConnectionError, TimeoutError, gaierror, SSLError) as error:
        fail(f"Database: {error.orig if isinstance(error, DBAPIError) else error}")
    except Problem as problem:
        fail(problem.detail)


def load_settings(kind: Any) -> Any:
    from shared.settings import SettingsInvalid, load

    try:
        return load(kind)
    except SettingsInvalid as error:
        fail(f"Settings not valid. {error}")


def required(variable: str) -> str:
    """The value of an environment variable, or of the file that `<variable>_FILE` names."""
    file = os.environ.get(f"{variable}_FILE")
    try:
        value = Path(file).read_text().strip() if file else os.environ.get(variable)
    except (OSError, UnicodeDecodeError):
        fail(f"{variable}_FILE: cannot read {file}")
    if not value:
        fail(f"{variable} is not set")
    return value


def database_url(variable: str) -> str:
    """As `required`; one that REQUIRE_TLS forbids is refused."""
    from shared.database_url import to_database

    return _permitted(variable, required(variable), to_database)


def broker_url(variable: str) -> str:
    """As `database_url`."""
    from shared.connections import to_broker

    return _permitted(variable, required(variable), to_broker)


def _permitted(variable: str, url: str, parse: Any) -> str:
    from shared.connections import of
    from shared.settings import ConnectionSettings

    try:
        load_settings(ConnectionSettings).refuse_plain(variable, of(variable, parse, url))
    except ValueError as error:
        fail(f"Settings not valid. {error}")
    return url
