"""Who a client is, as far as its address tells; whose `X-Forwarded-For` is believed is decided in shared.process."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable


def network_of(address: str) -> str:
    """An IPv4 address itself; of an IPv6 address its /64, from which one client may choose any; other text as it is."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((parsed, 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)


def told_apart(address: str, is_proxy: Callable[[str], bool]) -> str | None:
    """`network_of` it; None where all clients would be one: no address, or a proxy's that did not say who asked."""
    return network_of(address) if address not in ("", "-") and not is_proxy(address) else None


def proxy_test(trusted_proxies: str) -> Callable[[str], bool]:
    """Whether an address is one of TRUSTED_PROXIES; of `*`, which is everybody, none is."""
    literals, networks = set(), []
    for each in trusted_proxies.split(","):
        try:
            networks.append(ipaddress.ip_network(each.strip()))
        except ValueError:
            literals.add(each.strip())

    def is_proxy(address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return address in literals
        return any(parsed in network for network in networks)

    return is_proxy
