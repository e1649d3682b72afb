"""Runs a command. It exits with 0, or with 2 and a sentence that says what to change."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import typer
import uvloop

from shared.configuration.environment import VariableInvalid, not_set, value_of

T = TypeVar("T")


def fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Prints a sentence, not a traceback, for errors that an operator can fix."""
    from socket import gaierror
    from ssl import SSLError

    from sqlalchemy.exc import DBAPIError

    from services.auth.tokens.keys import KeysInvalid
    from services.users.breach_filter import BreachFilterInvalid
    from shared.messaging.bus import BusError
    from shared.web.problems import Problem
    from shared.web.process import CannotListen

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except CannotListen as error:
        fail(str(error))
    except KeysInvalid as error:
        fail(f"JWT_KEYS_DIR: {error}")
    except BreachFilterInvalid as error:
        fail(f"Settings not valid. BREACHED_PASSWORDS: {error}")
    except BusError as error:
        fail(f"Broker: {error}")
    except (DBAPIError, ConnectionError, TimeoutError, gaierror, SSLError) as error:
        fail(f"Database: {error.orig if isinstance(error, DBAPIError) else error}")
    except Problem as problem:
        fail(problem.detail)


def load_settings(kind: Any, **given: Any) -> Any:
    """`given` is from the command line and overrides the environment."""
    from shared.configuration.settings import SettingsInvalid, load

    try:
        return load(kind, **{name: value for name, value in given.items() if value is not None})
    except SettingsInvalid as error:
        fail(f"Settings not valid. {error}")


def required(variable: str) -> str:
    """Reads the variable, or its file `<variable>_FILE`."""
    try:
        value = value_of(variable)
    except VariableInvalid as error:
        fail(f"Settings not valid. {error}")
    if value is None:
        fail(f"Settings not valid. {'; '.join(not_set([variable]))}")
    return value


def database_url(variable: str) -> str:
    """Like `required`; fails if REQUIRE_TLS forbids the URL."""
    from shared.configuration.database_url import to_database

    return _permitted(variable, required(variable), to_database)


def broker_url(variable: str) -> str:
    from shared.configuration.connections import to_broker

    return _permitted(variable, required(variable), to_broker)


def _permitted(variable: str, url: str, parse: Any) -> str:
    from shared.configuration.connection_settings import ConnectionSettings
    from shared.configuration.connections import of

    try:
        load_settings(ConnectionSettings).refuse_plain(variable, of(variable, parse, url))
    except ValueError as error:
        fail(f"Settings not valid. {error}")
    return url
