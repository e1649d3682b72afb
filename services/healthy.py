"""HEALTHCHECK of a container: exits with 0 if it is ready, else with 1. It imports little, because it runs often."""

from __future__ import annotations

import os
import socket
import sys

ANSWER_SECONDS = 4.0


def main() -> None:
    try:
        # An empty variable counts as unset, as in the process.
        port = int(os.environ.get("MANAGEMENT_PORT") or "9000")
        answer = _asked(os.environ.get("MANAGEMENT_HOST") or "127.0.0.1", port)
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"The management port does not answer: {error}")
    status, _, body = answer.partition("\r\n\r\n")
    sys.stdout.write(body)
    if " 200 " not in status.splitlines()[0]:
        sys.exit(1)


def _asked(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is looked up, not bound
    with socket.create_connection((reachable, port), ANSWER_SECONDS) as connection:
        connection.sendall(b"GET /readyz?verbose HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


if __name__ == "__main__":
    main()
