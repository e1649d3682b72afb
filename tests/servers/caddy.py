"""Debian's Caddy as a process of the tests: no administration port, nothing in anybody's home."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.servers.installed import program
from tests.servers.listening import running


@contextmanager
def running_caddy(variables: Mapping[str, str], port: int, folder: Path) -> Iterator[str]:
    """Caddy on `folder/Caddyfile`, which reads `variables` and listens on 127.0.0.1:`port`; its URL."""
    command = [
        str(program("caddy", "caddy", "Caddy 2.6 or newer")),
        "run",
        "--config",
        "Caddyfile",
        "--adapter",
        "caddyfile",
    ]
    ours = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with running(command, port, folder, {**ours, **variables}):
        yield f"http://127.0.0.1:{port}"
