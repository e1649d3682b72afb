"""Client addresses: their canonical notation, and which `X-Forwarded-For` is trusted."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

from starlette.types import Scope

HIGHEST_PORT = 65535

_PORT = re.compile(r"0*[0-9]{1,5}")
_LONGEST = 64  # characters: an IPv6 zone name can have any length


class NotAnAddress(Exception):
    """A trusted proxy sent something that is no address."""


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
        return address[:_LONGEST]
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


class Clients:
    """The client is the peer, or what a peer in TRUSTED_PROXIES (`*`: any) names in `X-Forwarded-For`."""

    def __init__(self, trusted_proxies: str) -> None:
        self._believes_all = trusted_proxies.strip() == "*"
        self._is_proxy = proxy_test(trusted_proxies)

    def of(self, scope: Scope) -> tuple[str, int] | None:
        """ASGI's `client`, canonical; None if unknown. It may be in the proxies' network. Raises `NotAnAddress`."""
        if scope.get("client") is None:
            return None
        host, port = scope["client"]
        host = canonical(host) or host
        if not (self._believes_all or self._is_proxy(host)):
            return host, port
        named = self._named(scope)
        if named is not None:
            return named, 0
        return (host, port) if self._believes_all else None

    def _named(self, scope: Scope) -> str | None:
        values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        named = [each for value in values for each in value.decode("latin-1").split(",") if each.strip()]
        # Proxies append: the client is the last address that is no trusted proxy. Addresses before it can be forged.
        last = None
        for each in reversed(named):
            last = _address(each.strip())
            if not self._is_proxy(last):
                break
        return last


def _address(text: str) -> str:
    """Removes the port that some proxies add: `1.2.3.4:5678`, `[2001:db8::1]:5678`."""
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        port = "0" if closed and not port else port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, "0"
    known = canonical(host) if len(host) <= _LONGEST and is_port(port) else None
    if known is None:
        raise NotAnAddress
    return known


def is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text[-5:]) <= HIGHEST_PORT
