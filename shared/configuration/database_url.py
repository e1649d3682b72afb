"""A database URL as PostgreSQL's own programs take it: `sslmode` and `sslrootcert` decide who is believed.

The driver knows neither name. Without `sslmode` it encrypts where the server offers to, and checks no certificate.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from shared.configuration.connections import ESCAPED, HIGHEST_PORT, Connection, refuse_unknown, trusted
from shared.configuration.hosts import is_host

_DRIVER = "postgresql+asyncpg"
# Other programs call it by the first two; the third is SQLAlchemy's name of it, with the one driver that is here.
_SCHEMES = ("postgresql", "postgres", _DRIVER)
_PARAMETERS = {"host", "port", "target_session_attrs", "sslmode", "sslrootcert"}
# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
_UNCHECKED = ("disable", "allow", "prefer", "require")
_CHECKED = ("verify-ca", "verify-full")


def engine_arguments(url: str) -> tuple[URL, dict[str, Any]]:
    """For create_async_engine: the URL without the two, and the `connect_args` that stand for them.

    Raises ValueError, with a sentence that tells no password.
    """
    known = parsed(url)
    mode, authorities = _tls(known)
    rest = known.difference_update_query(["sslmode", "sslrootcert"])
    if mode not in _CHECKED:
        return rest, {"ssl": mode} if mode else {}
    context = trusted(authorities)
    context.check_hostname = mode == "verify-full"
    return rest, {"ssl": context}


def to_database(url: str) -> Connection:
    """Raises ValueError."""
    known = parsed(url)
    mode, authorities = _tls(known)
    if authorities:
        trusted(authorities)
    hosts = [*([known.host] if known.host else []), *_listed(known, "host")]
    if any(not _is_port(port) for port in _listed(known, "port")):
        raise ValueError("port must be a number up to 65535, or a list of one for each host")
    # Where the URL names none, the driver would take one from the environment.
    named = tuple(_without_port(host) for host in hosts) or ("a host that is not named",)
    return Connection(named, mode == "verify-full", "?sslmode=verify-full")


def _tls(url: URL) -> tuple[str | None, str | None]:
    """`sslmode`, and the file of `sslrootcert`. Raises ValueError."""
    refuse_unknown(url.query, _PARAMETERS)
    mode, authorities = url.query.get("sslmode"), url.query.get("sslrootcert")
    if mode is None and authorities is None:
        return None, None
    known = _CHECKED if authorities else (*_UNCHECKED, *_CHECKED)
    if mode not in known or isinstance(mode, tuple) or isinstance(authorities, tuple):
        modes = ", ".join((*_UNCHECKED, *_CHECKED))
        raise ValueError(f"sslmode must be one of {modes}; sslrootcert goes with the last two")
    return mode, None if authorities == "system" else authorities


def parsed(url: str) -> URL:
    """For the driver asyncpg, whichever name of PostgreSQL `url` begins with. Raises ValueError."""
    if url.partition("://")[0] not in _SCHEMES:
        raise ValueError("must begin with postgresql://, as in postgresql://user:password@host/database")
    try:
        known = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"is no URL like postgresql://user:password@host:5432/database; {ESCAPED}") from None
    if "," in (known.host or ""):
        raise ValueError("names several hosts: these stand in the query, as in /database?host=one:5432&host=other:5432")
    if (known.host and not is_host(known.host)) or not 0 < (known.port or 1) <= HIGHEST_PORT:
        raise ValueError(f"has no host or port such as db.example.com:5432; {ESCAPED}")
    if not known.username or not known.database:
        raise ValueError("must name a user and a database: postgresql://user:password@host/database")
    return known.set(drivername=_DRIVER)


def _listed(url: URL, parameter: str) -> list[str]:
    """Its values, as the dialect reads them."""
    values = url.query.get(parameter, ())
    return [each for value in ([values] if isinstance(values, str) else values) for each in value.split(",")]


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal() or (":" in name and not name.endswith("]")):
        return host
    if not _is_port(port):
        raise ValueError("has a port over 65535")
    return name


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= HIGHEST_PORT
