"""Free ports, for servers that must be told theirs."""

from __future__ import annotations

import secrets
import socket

# Below those that Linux and macOS give to outgoing connections: no client elsewhere on the machine takes one of these
# between our look and the server's start, or while the server is down for a moment.
LISTENED_ON = range(10240, 32768)


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on, at any address of this machine."""
    free: set[int] = set()
    while len(free) < count:
        port = secrets.choice(LISTENED_ON)  # a seeded choice would be the same in two runs side by side
        with socket.socket() as tried:
            try:
                tried.bind(("", port))
            except OSError:
                continue
        free.add(port)
    return list(free)
