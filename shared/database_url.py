"""A database URL as PostgreSQL's own programs take it: `sslmode` and `sslrootcert` decide who is believed.

The driver knows neither name. Without `sslmode` it encrypts where the server offers to, and checks no certificate.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from shared.connections import Connection, refuse_unknown, trusted

_PARAMETERS = {"host", "port", "target_session_attrs", "sslmode", "sslrootcert"}
# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
_UNCHECKED = ("disable", "allow", "prefer", "require")
_CHECKED = ("verify-ca", "verify-full")


def engine_arguments(url: str) -> tuple[URL, dict[str, Any]]:
    """For create_async_engine: the URL without the two, and the `connect_args` that stand for them.

    Raises ValueError, with a sentence that tells no password.
    """
    parsed = _parsed(url)
    mode, authorities = _tls(parsed)
    rest = parsed.difference_update_query(["sslmode", "sslrootcert"])
    if mode not in _CHECKED:
        return rest, {"ssl": mode} if mode else {}
    context = trusted(authorities)
    context.check_hostname = mode == "verify-full"
    return rest, {"ssl": context}


def to_database(url: str) -> Connection:
    """Raises ValueError."""
    parsed = _parsed(url)
    mode, authorities = _tls(parsed)
    if authorities:
        trusted(authorities)
    several = parsed.query.get("host", ())
    values = [*([parsed.host] if parsed.host else []), *([several] if isinstance(several, str) else several)]
    hosts = [host for value in values for host in value.split(",")]  # as the dialect reads them
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


def _parsed(url: str) -> URL:
    try:
        return make_url(url).set(drivername="postgresql+asyncpg")
    except (ArgumentError, ValueError):
        raise ValueError("is no URL like postgresql+asyncpg://user:password@host/database") from None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() and (":" not in name or name.endswith("]")) else host
