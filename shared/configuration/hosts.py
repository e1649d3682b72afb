"""What a host name says about where it is."""

from __future__ import annotations

import re
from ipaddress import ip_address

# Neither a name nor an address has one of these; a colon only an IPv6 address.
_NOT_IN_A_HOST = re.compile(r"[\s/\\@,;?#*%\[\]\"'<>(){}|$&=]")
_CONTAINER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)


def is_loopback(host: str) -> bool:
    """This machine itself: an address of the loopback range, `localhost`, or the folder of a Unix socket."""
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
    """One label, as containers of one network have it: no name of the internet, and no address."""
    return _CONTAINER.fullmatch(host) is not None
