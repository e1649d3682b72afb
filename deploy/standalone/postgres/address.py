"""The address of the embedded PostgreSQL: a Unix socket, or a loopback port if the socket path is unfit."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

LONGEST_SOCKET_PATH = 107  # bytes: sockaddr_un of Linux
DEFAULT_PORT = 5432


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")

    def settings(self) -> dict[str, str]:
        if self.is_socket:
            return {"listen_addresses": "", "unix_socket_directories": self.host, "port": str(self.port)}
        return {"listen_addresses": self.host, "unix_socket_directories": "", "port": str(self.port)}


def address_for(folder: Path) -> Address:
    path = str(folder / f".s.PGSQL.{DEFAULT_PORT}")
    # Commas separate folders in PostgreSQL's setting, colons host and port in SQLAlchemy's URL.
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and not set(path) & set(',:"'):
        return Address(str(folder), DEFAULT_PORT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", free.getsockname()[1])
