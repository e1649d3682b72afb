"""Translates `sslmode` and `sslrootcert` of libpq for asyncpg; without `sslmode` no certificate is verified."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from shared.client_address import HIGHEST_PORT, is_port
from shared.configuration.connections import ESCAPED, Connection, refuse_unknown, trusted
from shared.configuration.hosts import is_host

_DRIVER = "postgresql+asyncpg"
_SCHEMES = ("postgresql", "postgres", _DRIVER)
_PARAMETERS = {"host", "port", "target_session_attrs", "sslmode", "sslrootcert"}
# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
_UNCHECKED = ("disable", "allow", "prefer", "require")
_CHECKED = ("verify-ca", "verify-full")


def engine_arguments(url: str) -> tuple[URL, dict[str, Any]]:
    """URL and `connect_args` for create_async_engine. Raises ValueError, without the password in its message."""
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
    if any(not is_port(port) for port in _listed(known, "port")):
        raise ValueError("port must be a number up to 65535, or a list of one for each host")
    # Without a host in the URL, the driver reads one from the environment.
    named = tuple(_without_port(host) for host in hosts) or ("a host that is not named",)
    return Connection(named, mode == "verify-full", "?sslmode=verify-full")


def _tls(url: URL) -> tuple[str | None, str | None]:
    """`sslmode`, and the file of `sslrootcert` (None: the default)."""
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
    """The URL for asyncpg, with any scheme in `_SCHEMES`. Raises ValueError."""
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
    return [each for value in url.normalized_query.get(parameter, ()) for each in value.split(",")]


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal() or (":" in name and not name.endswith("]")):
        return host
    if not is_port(port):
        raise ValueError("has a port over 65535")
    return name
