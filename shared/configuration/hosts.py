"""Checks of host names and addresses."""

from __future__ import annotations

import re
from ipaddress import ip_address

# Never in a name or an address; a colon is in IPv6 addresses only.
_NOT_IN_A_HOST = re.compile(r"[\s/\\@,;?#*%\[\]\"'<>(){}|$&=]")
_CONTAINER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)


def is_loopback(host: str) -> bool:
    """This machine: a loopback address, `localhost`, or the folder of a Unix socket."""
    if host.startswith("/") or host.lower() == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_host(text: str) -> bool:
    """A name or an address alone: no scheme, no port, no list."""
    if ":" not in text and not text.rpartition(".")[2].isdecimal():
        return bool(text) and not _NOT_IN_A_HOST.search(text)
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_container_name(host: str) -> bool:
    """One label, like the names of containers in one network; no internet name, no address."""
    return _CONTAINER.fullmatch(host) is not None
