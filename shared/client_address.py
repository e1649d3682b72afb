"""Client addresses: their canonical notation, and which of them are trusted proxies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

HIGHEST_PORT = 65535
LONGEST = 64  # characters: an IPv6 zone name can have any length

_PORT = re.compile(r"0*[0-9]{1,5}")


@lru_cache(maxsize=4096)
def canonical(address: str) -> str | None:
    """The notation that we compare, store and show: `::ffff:1.2.3.4` is 1.2.3.4; no IPv6 zone. None if invalid."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def network_of(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address: one client may use all of it. Other text is only cut."""
    known = canonical(address)
    if known is None:
        return address[:LONGEST]
    return str(ipaddress.IPv6Network((known, 64), strict=False)) if ":" in known else known


def told_apart(address: str) -> str | None:
    """`network_of` the address; None if the client is unknown: all unknown clients would share one limit."""
    return network_of(address) if address not in ("", "-") else None


def proxy_test(trusted_proxies: str) -> Callable[[str], bool]:
    """A test for addresses in TRUSTED_PROXIES; always False for `*`. Raises ValueError that says what to write."""
    named = [] if trusted_proxies.strip() == "*" else map(str.strip, trusted_proxies.split(","))
    networks = [_network(each, place) for place, each in enumerate(named, 1) if each]

    @lru_cache(maxsize=4096)
    def is_proxy(address: str) -> bool:
        known = canonical(address)
        return known is not None and any(ipaddress.ip_address(known) in network for network in networks)

    return is_proxy


def _network(text: str, place: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if text == "*":
        raise ValueError("* believes everybody, and so stands alone")
    if ";" in text or len(text.split()) > 1:
        raise ValueError("addresses and networks are separated by commas: 127.0.0.1,10.0.0.0/8")
    try:
        within = ipaddress.ip_interface(text.replace("%", " "))  # refuses a zone: `canonical` removes it
    except ValueError:
        raise ValueError(
            f"number {place} of the list is no IP address and no network, such as 127.0.0.1 or 10.0.0.0/8;"
            " names are not looked up"
        ) from None
    if within.ip != within.network.network_address:
        raise ValueError(f"{within} is an address and a network at once: write {within.network}, or {within.ip} alone")
    network = within.network
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return network if mapped is None else ipaddress.IPv4Network((mapped, max(0, network.prefixlen - 96)))


def is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text[-5:]) <= HIGHEST_PORT
