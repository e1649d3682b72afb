"""Where a process connects to, and whether that is encrypted: what REQUIRE_TLS asks of every address.

Encrypted means that the other side proves its name by a certificate of an authority that we trust. Encryption towards
whoever answers is no protection from whoever listens, and counts as plain.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

import httpx
from yarl import URL

from shared.hosts import is_loopback

T = TypeVar("T")

# What aio-pika makes of others, such as `no_verify_ssl`, is not wanted here.
_BROKER_PARAMETERS = {"cafile", "certfile", "keyfile"}


@dataclass(frozen=True, slots=True)
class Connection:
    """`instead` says how its setting is written when it is encrypted."""

    hosts: tuple[str, ...]
    encrypted: bool
    instead: str

    def in_plain(self, exempt: Collection[str]) -> list[str]:
        """The hosts that would be spoken to in plain over a network."""
        if self.encrypted:
            return []
        return [host for host in self.hosts if not is_loopback(host) and host not in exempt]


def trusted(authorities: str | None = None) -> ssl.SSLContext:
    """Trusts those in the file `authorities`; without one SSL_CERT_FILE's, or else the machine's. Raises ValueError."""
    file = authorities or os.environ.get("SSL_CERT_FILE") or None
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise ValueError(f"no certificate can be read from {file}: {error.strerror or error.args[-1]}") from None


def to_broker(url: str) -> Connection:
    """Raises ValueError."""
    try:
        parsed = URL(url)  # what the client itself reads it with: one text is not read in two ways
    except ValueError:
        raise ValueError("is no URL like amqps://user:password@host/") from None
    if parsed.scheme not in ("amqp", "amqps"):
        raise ValueError("must begin with amqp:// or amqps://")
    refuse_unknown(parsed.query, _BROKER_PARAMETERS)
    if authorities := parsed.query.get("cafile"):
        trusted(authorities)
    return Connection((parsed.host or "localhost",), parsed.scheme == "amqps", "amqps://")


def to_http(url: str) -> Connection:
    """Raises ValueError."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("is no URL like https://host/path")
    return Connection((parsed.host,), parsed.scheme == "https", "https://")


def of(variable: str, parse: Callable[[str], T], address: str) -> T:
    """Raises ValueError, whose sentence names `variable`."""
    try:
        return parse(address)
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None


def refuse_unknown(given: Iterable[str], known: set[str]) -> None:
    """Raises ValueError for a parameter of a URL that would be overlooked, or mean something unforeseen."""
    if unknown := sorted(set(given) - known):
        names = ", ".join(unknown)
        raise ValueError(f"has parameters that are not known here: {names}; known are {', '.join(sorted(known))}")
