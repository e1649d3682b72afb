"""What a broker says before anybody logs in: proof that it serves AMQP, and its version."""

from __future__ import annotations

import socket


def server_version(port: int, host: str = "127.0.0.1") -> str | None:
    """The `version` in the broker's Connection.Start (AMQP 0-9-1, 1.4.2.1), or None."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            with connection.makefile("rb") as reader:
                header = reader.read(7)
                greeting = reader.read(int.from_bytes(header[3:7], "big"))
    except OSError:
        return None
    _, found, rest = greeting.partition(b"\x07versionS")
    return rest[4 : 4 + int.from_bytes(rest[:4], "big")].decode() if found else None
