"""Parses server addresses, or raises ValueError. TLS without a verified certificate and name counts as plain."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx
from yarl import URL

from shared.client_address import HIGHEST_PORT
from shared.configuration.hosts import is_host

T = TypeVar("T")

ESCAPED = "in the password write %40 for @, %2F for /, %23 for # and so on"

# A comma after the last @, or before another URL; any other may be part of a password.
_LIST = re.compile(r",[^@]*$|,\s*amqps?://")

# aio-pika knows more, such as `no_verify_ssl`, which turns verification off.
_BROKER_PARAMETERS = {"cafile", "certfile", "keyfile"}


@dataclass(frozen=True, slots=True)
class Connection:
    hosts: tuple[str, ...]
    encrypted: bool
    instead: str  # how to write the setting with TLS


def trusted(authorities: str | None = None) -> ssl.SSLContext:
    """TLS that trusts the CA file `authorities`, else SSL_CERT_FILE, else the system. Raises ValueError."""
    file = authorities or os.environ.get("SSL_CERT_FILE") or None
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:
        raise ValueError(f"no certificate can be read from {file}: {error.strerror or error.args[-1]}") from None


def to_broker(url: str) -> Connection:
    if not url.startswith(("amqp://", "amqps://")):
        raise ValueError("must begin with amqp:// or amqps://")
    if _LIST.search(url.partition("?")[0]):
        raise ValueError("must name one broker, not a list: the processes take the nodes of a cluster as RABBITMQ_URLS")
    try:
        parsed = URL(url)  # the parser of aio-pika, so that both read the URL alike
        host = parsed.host
    except ValueError:
        raise ValueError(f"is no URL like amqps://user:password@host:5671/; {ESCAPED}") from None
    if not host or not is_host(host):
        raise ValueError(f"names no host, as amqps://user:password@host/ does; {ESCAPED}")
    if parsed.fragment:
        raise ValueError(f"has a part behind #; {ESCAPED}")
    refuse_unknown(parsed.query, _BROKER_PARAMETERS)
    if authorities := parsed.query.get("cafile"):
        trusted(authorities)
    for own in ("certfile", "keyfile"):
        if (file := parsed.query.get(own)) and not os.access(file, os.R_OK):
            raise ValueError(f"{own} must be a file that can be read")
    return Connection((host,), parsed.scheme == "amqps", "amqps://")


def to_brokers(urls: Sequence[str]) -> Connection:
    """The nodes of one cluster; `hosts` are those without TLS."""
    nodes = [_numbered(number, url) for number, url in enumerate(urls, 1)]
    if len({URL(url).path.strip("/") for url in urls}) > 1:  # one half would never hear what the other says
        raise ValueError("all must end in the same virtual host, because they are nodes of one cluster")
    plain = [host for node in nodes if not node.encrypted for host in node.hosts]
    return Connection(tuple(plain), not plain, "amqps://")


def _numbered(number: int, url: str) -> Connection:
    try:
        return to_broker(url)
    except ValueError as error:
        raise ValueError(f"number {number} of the list {error}; a comma in a password is %2C, a blank %20") from None


def to_http(url: str) -> Connection:
    try:
        parsed = httpx.URL(url)
        host = parsed.host
    except (httpx.InvalidURL, ValueError):
        parsed, host = httpx.URL(""), ""
    if parsed.scheme not in ("http", "https") or not is_host(host) or (parsed.port or 0) > HIGHEST_PORT:
        raise ValueError("must be a URL like https://host/path")
    return Connection((host,), parsed.scheme == "https", "https://")


def to_issuer(url: str) -> Connection:
    """An issuer as in RFC 8414 section 2 and RFC 9207; `http` too, for local tests."""
    try:
        connection = to_http(url)
    except ValueError:
        raise ValueError("must be the public URL with its scheme, such as https://login.example.com") from None
    if "?" in url or "#" in url:
        raise ValueError("must end before ? and #: an issuer has no query and no fragment (RFC 8414)")
    if "@" in url:
        raise ValueError("must name neither user nor password: everybody reads it")
    if not url.isascii():
        raise ValueError("must be ASCII: write the name of an international domain in its form xn--...")
    return connection


def of(variable: str, parse: Callable[[str], T], address: str) -> T:
    """Parse `address`; raises ValueError that names `variable`."""
    try:
        return parse(address)
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None


def refuse_unknown(given: Iterable[str], known: set[str]) -> None:
    """Raises ValueError for unknown URL parameters: they might be ignored, or change more than expected."""
    if unknown := sorted(set(given) - known):
        names = ", ".join(unknown)
        raise ValueError(f"has parameters that are not known here: {names}; known are {', '.join(sorted(known))}")
