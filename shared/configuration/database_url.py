"""Reads database URLs, also as libpq writes them, for asyncpg; without `sslmode` no certificate is verified."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from shared.client_address import HIGHEST_PORT, is_port
from shared.configuration.connections import ESCAPED, Connection, refuse_unknown, trusted
from shared.configuration.hosts import is_host

Server = tuple[str | None, int | None]

_DRIVER = "postgresql+asyncpg"
_SCHEMES = ("postgresql", "postgres", _DRIVER)
_PARAMETERS = {"host", "port", "target_session_attrs", "sslmode", "sslrootcert"}
# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
_UNCHECKED = ("disable", "allow", "prefer", "require")
_CHECKED = ("verify-ca", "verify-full")
# libpq's kinds of servers that take writes: every request may write.
_WRITABLE = ("primary", "read-write")

# user:password@one:5432,other:5432/database, which SQLAlchemy does not know
_SEVERAL = re.compile(r"([^/]+//[^/?]*@)([^/?@]*,[^/?@]*)(/.*)", re.DOTALL)


def driver_arguments(url: str) -> dict[str, Any]:
    """Keyword arguments for asyncpg.connect, but for the host. Raises ValueError, without the password in its text."""
    known = parsed(url)
    arguments = {"user": known.username, "password": known.password, "database": known.database}
    if kind := _kind(known):
        arguments["target_session_attrs"] = kind
    mode, authorities = _tls(known)
    if mode not in _CHECKED:
        return arguments | ({"ssl": mode} if mode else {})
    context = trusted(authorities)
    context.check_hostname = mode == "verify-full"
    return arguments | {"ssl": context}


def servers(url: str) -> list[Server]:
    """Hosts and ports in the order of the URL; None: the driver's default. Raises ValueError."""
    return _servers(parsed(url))


def to_database(url: str) -> Connection:
    """Raises ValueError."""
    known = parsed(url)
    mode, authorities = _tls(known)
    if authorities:
        trusted(authorities)
    _kind(known)
    # Without a host in the URL, the driver reads one from the environment.
    named = tuple(host or "a host that is not named" for host, _ in _servers(known))
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


def _kind(url: URL) -> str | None:
    """The `target_session_attrs`. Among several servers a standby would take the connection and refuse each write."""
    kind = url.query.get("target_session_attrs") or ("read-write" if len(_servers(url)) > 1 else None)
    if kind is not None and kind not in _WRITABLE:
        raise ValueError("target_session_attrs must be primary or read-write: other servers take no writes")
    return str(kind) if kind else None


def parsed(url: str) -> URL:
    """The URL for asyncpg, with any scheme in `_SCHEMES`; several hosts are in its query. Raises ValueError."""
    if url.partition("://")[0] not in _SCHEMES:
        raise ValueError("must begin with postgresql://, as in postgresql://user:password@host/database")
    several = _SEVERAL.fullmatch(url)
    try:
        known = make_url(several[1] + several[3] if several else url)
    except (ArgumentError, ValueError):
        raise ValueError(f"is no URL like postgresql://user:password@host:5432/database; {ESCAPED}") from None
    if several:
        known = known.update_query_pairs([("host", each) for each in several[2].split(",")], append=True)
    if (known.host and not is_host(known.host)) or not 0 < (known.port or 1) <= HIGHEST_PORT:
        raise ValueError(f"has no host or port such as db.example.com:5432; {ESCAPED}")
    if not known.username or not known.database:
        raise ValueError("must name a user and a database: postgresql://user:password@host/database")
    return known.set(drivername=_DRIVER)


def _servers(url: URL) -> list[Server]:
    """As libpq, the query before the authority; a single port is that of all hosts."""
    ports = _listed(url, "port")
    hosts = [_with_port(host) for host in _listed(url, "host")] or [(url.host, url.port)]
    if any(not is_port(port) for port in ports) or (ports and len(ports) not in (1, len(hosts))):
        raise ValueError("port must be a number up to 65535, or a list of one for each host")
    each: list[int | None] = [int(port) for port in ports] or [None]
    return [(host, port or each[at % len(each)]) for at, (host, port) in enumerate(hosts)]


def _listed(url: URL, parameter: str) -> list[str]:
    return [each for value in url.normalized_query.get(parameter, ()) for each in value.split(",")]


def _with_port(given: str) -> Server:
    name, colon, port = given.rpartition(":")
    if not colon or (":" in name and not name.endswith("]")):
        name, port = given, ""
    elif not is_port(port):
        raise ValueError("has a port over 65535, or none behind a colon")
    host = name.removeprefix("[").removesuffix("]")
    if not host.startswith("/") and not is_host(host):
        raise ValueError(f"has no host such as db.example.com:5432; {ESCAPED}")
    return host, int(port) if port else None
